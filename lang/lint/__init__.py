"""What is legal in a Dockerfile and still better said otherwise."""

"""The commands of pybuild: images and what makes them."""

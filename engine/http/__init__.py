"""HTTP/1.1 over unix and TCP sockets, plain or TLS: requests -> one handler -> responses, hijacked streams and web sockets."""

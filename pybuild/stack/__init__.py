"""The commands of pyup: containers, networks, volumes, projects."""

"""The command table: which words lead to which module. A module is imported only when its command is run (or its help is asked for).

Every command module has `USAGE` (option.Usage) and `main(options: Options) -> int`.
"""

from kernel.value import Value


class Command(Value):
    """words: "container run"; summary: the line in the list of commands; aliases: other words for the same."""

    words: str
    module: str
    summary: str
    aliases: tuple[str, ...] = ()


PYBUILD = (
    Command("build", "pybuild.image.build", "Build an image from a Dockerfile (the default command)"),
    Command("explain", "pybuild.image.explain", "Say why steps of a build are not cached"),
    Command("graph", "pybuild.image.graph", "Draw the steps of a build, and what they take from each other"),
    Command("lint", "pybuild.image.lint", "Say what could be better in Dockerfiles"),
    Command("fmt", "pybuild.image.fmt", "Lay Dockerfiles out"),
    Command("parse", "pybuild.image.parse", "Print a Dockerfile's tree as JSON"),
    Command("context ls", "pybuild.image.context", "List what of a build context would be sent"),
    Command("debug", "pybuild.image.debug", "Open a shell in a step that failed"),
    Command("verify", "pybuild.image.verify", "Build an image again and say what differs"),
    Command("images", "pybuild.image.images", "List images", ("image ls", "image list")),
    Command("inspect", "pybuild.image.inspect", "Show all there is to know of an image", ("image inspect",)),
    Command("history", "pybuild.image.history", "Show how an image was made, layer by layer", ("image history",)),
    Command("tag", "pybuild.image.tag", "Give an image another name", ("image tag",)),
    Command("rmi", "pybuild.image.rmi", "Remove images", ("image rm", "image remove")),
    Command("save", "pybuild.image.save", "Write images to an archive", ("image save",)),
    Command("load", "pybuild.image.load", "Read images from an archive", ("image load",)),
    Command("pull", "pybuild.image.pull", "Pull images from registries", ("image pull",)),
    Command("push", "pybuild.image.push", "Push an image to its registry", ("image push",)),
    Command("login", "pybuild.image.login", "Log in to a registry"),
    Command("manifest create", "pybuild.image.manifest.create", "Make an index of images for several platforms"),
    Command("manifest annotate", "pybuild.image.manifest.annotate", "Change what an index says about one of its images"),
    Command("manifest inspect", "pybuild.image.manifest.inspect", "Show a manifest or an index"),
    Command("manifest push", "pybuild.image.manifest.push", "Push an index with everything that it lists"),
    Command("manifest rm", "pybuild.image.manifest.rm", "Remove indexes"),
    Command("logout", "pybuild.image.logout", "Log out from a registry"),
    Command("sign", "pybuild.image.sign", "Sign images in their registry"),
    Command("verify-signature", "pybuild.image.verify_signature", "Say whether images are signed"),
    Command("registry serve", "pybuild.image.registry_serve", "Serve a private registry from this store"),
    Command("import", "pybuild.image.import_", "Make an image out of a tar of files", ("image import",)),
    Command("diff", "pybuild.image.diff", "Show which files differ between two images", ("image diff",)),
    Command("cache ls", "pybuild.image.cache.ls", "List the build cache", ("cache list",)),
    Command("cache inspect", "pybuild.image.cache.inspect", "Show all there is to know of entries of the build cache"),
    Command("cache export", "pybuild.image.cache.export", "Write the build cache elsewhere"),
    Command("cache import", "pybuild.image.cache.import_", "Take everything that a cache elsewhere has"),
    Command("cache rm", "pybuild.image.cache.rm", "Remove entries of the build cache", ("cache remove",)),
    Command("du", "pybuild.image.du", "Show what takes the room on the disk"),
    Command("fsck", "pybuild.image.fsck", "Check and mend the store"),
    Command("prune", "pybuild.image.prune", "Remove what nothing uses"),
    Command("image prune", "pybuild.image.imageprune", "Remove images that nothing uses"),
    Command("doctor", "pybuild.doctor", "Say what this machine allows, and what would allow more"),
    Command("base", "pybuild.image.base", "Make a base image from this machine"),
    Command("completion", "pybuild.completion", "Print a script that completes words in a shell"),
    Command("version", "pybuild.version", "Show the version"),
)

# `pyup image ..` are the same
_IMAGES = tuple(Command(words[0], c.module, c.summary, words[1:]) for c in PYBUILD
                if (words := tuple(w for w in (c.words, *c.aliases) if w.startswith("image "))))

PYUP = (
    *_IMAGES,
    Command("container run", "pybuild.stack.container.run", "Run a command in a new container"),
    Command("container create", "pybuild.stack.container.create", "Make a container without starting it"),
    Command("container start", "pybuild.stack.container.start", "Start containers"),
    Command("container stop", "pybuild.stack.container.stop", "Stop running containers"),
    Command("container restart", "pybuild.stack.container.restart", "Stop containers and start them again"),
    Command("container kill", "pybuild.stack.container.kill", "Send running containers a signal"),
    Command("container rm", "pybuild.stack.container.rm", "Remove containers", ("container remove",)),
    Command("container ls", "pybuild.stack.container.ls", "List containers", ("container ps", "container list")),
    Command("container inspect", "pybuild.stack.container.inspect", "Show all there is to know of containers"),
    Command("container logs", "pybuild.stack.container.logs", "Show what a container has written"),
    Command("container exec", "pybuild.stack.container.exec", "Run a command in a running container"),
    Command("container attach", "pybuild.stack.container.attach", "Attach to a running container"),
    Command("container cp", "pybuild.stack.container.cp", "Copy files between a container and this machine"),
    Command("container diff", "pybuild.stack.container.diff", "Show which files a container has changed"),
    Command("container commit", "pybuild.stack.container.commit", "Make an image of what a container has become"),
    Command("container bundle", "pybuild.stack.container.bundle", "Write a container as an OCI bundle, for another runtime"),
    Command("container export", "pybuild.stack.container.export", "Write the files of a container as a tar archive"),
    Command("container pause", "pybuild.stack.container.pause", "Freeze running containers"),
    Command("container unpause", "pybuild.stack.container.unpause", "Let paused containers go on"),
    Command("container rename", "pybuild.stack.container.rename", "Give a container another name"),
    Command("container update", "pybuild.stack.container.update", "Change limits and restart policies"),
    Command("container stats", "pybuild.stack.container.stats", "Show what containers use of the machine"),
    Command("container top", "pybuild.stack.container.top", "Show the processes of a container"),
    Command("container port", "pybuild.stack.container.port", "Show where ports are published"),
    Command("container wait", "pybuild.stack.container.wait", "Wait until containers end"),
    Command("container prune", "pybuild.stack.container.prune", "Remove every container that does not run"),
    Command("volume create", "pybuild.stack.volume.create", "Make a volume"),
    Command("volume ls", "pybuild.stack.volume.ls", "List volumes", ("volume list",)),
    Command("volume inspect", "pybuild.stack.volume.inspect", "Show all there is to know of volumes"),
    Command("volume rm", "pybuild.stack.volume.rm", "Remove volumes", ("volume remove",)),
    Command("volume prune", "pybuild.stack.volume.prune", "Remove volumes that no container has"),
    Command("network create", "pybuild.stack.network.create", "Make a network"),
    Command("network ls", "pybuild.stack.network.ls", "List networks", ("network list",)),
    Command("network inspect", "pybuild.stack.network.inspect", "Show all there is to know of networks"),
    Command("network connect", "pybuild.stack.network.connect", "Put a container on one more network"),
    Command("network disconnect", "pybuild.stack.network.disconnect", "Take a container off a network"),
    Command("network rm", "pybuild.stack.network.rm", "Remove networks", ("network remove",)),
    Command("network prune", "pybuild.stack.network.prune", "Remove networks that no container is on"),
    Command("system start", "pybuild.stack.system.start", "Start the containers that are due after the machine was started"),
    Command("up", "pybuild.stack.up", "Create and start containers (the default command)"),
    Command("down", "pybuild.stack.down", "Stop and remove containers and networks"),
    Command("ps", "pybuild.stack.ps", "List the containers of a project"),
    Command("logs", "pybuild.stack.logs", "Show what containers have written"),
    Command("run", "pybuild.stack.run", "Run a command in a new container of a service"),
    Command("build", "pybuild.stack.build", "Build the images of services"),
    Command("pull", "pybuild.stack.pull", "Pull the images of services"),
    Command("push", "pybuild.stack.push", "Push the images of services"),
    Command("config", "pybuild.stack.config", "Print the project, resolved", ("convert",)),
    Command("commit", "pybuild.stack.commit", "Make an image of what a container has become"),
    Command("apply", "pybuild.stack.apply", "Do what a plan says, if it still holds"),
    Command("create", "pybuild.stack.create", "Create containers, and start none"),
    Command("start", "pybuild.stack.start", "Start containers that there are"),
    Command("stop", "pybuild.stack.stop", "Stop containers"),
    Command("restart", "pybuild.stack.restart", "Restart containers"),
    Command("kill", "pybuild.stack.kill", "Send containers a signal"),
    Command("rm", "pybuild.stack.rm", "Remove stopped containers"),
    Command("pause", "pybuild.stack.pause", "Freeze containers"),
    Command("unpause", "pybuild.stack.unpause", "Let frozen containers go on"),
    Command("scale", "pybuild.stack.scale", "Change how many containers services have"),
    Command("exec", "pybuild.stack.exec", "Run a command in a running container"),
    Command("attach", "pybuild.stack.attach", "Attach to a running container"),
    Command("cp", "pybuild.stack.cp", "Copy files between containers and this machine"),
    Command("export", "pybuild.stack.export", "Write the files of a container as a tar archive"),
    Command("port", "pybuild.stack.port", "Show where a port is published"),
    Command("top", "pybuild.stack.top", "Show the processes of containers"),
    Command("stats", "pybuild.stack.stats", "Show what containers use of the machine"),
    Command("events", "pybuild.stack.events", "Show what happens to containers"),
    Command("wait", "pybuild.stack.wait", "Wait until containers have ended"),
    Command("watch", "pybuild.stack.watch", "Watch sources, and bring what changes into containers"),
    Command("images", "pybuild.stack.images", "List the images of containers"),
    Command("volumes", "pybuild.stack.volumes", "List the volumes of a project"),
    Command("ls", "pybuild.stack.ls", "List projects"),
    Command("graph", "pybuild.stack.graph", "Draw a project"),
    Command("publish", "pybuild.stack.publish", "Publish a project in a registry"),
    Command("plan", "pybuild.stack.plan", "Say what `up` would do, and why"),
    Command("doctor", "pybuild.doctor", "Say what this machine allows, and what would allow more"),
    Command("completion", "pybuild.completion", "Print a script that completes words in a shell"),
    Command("version", "pybuild.stack.version", "Show the version"),
)

TABLES = {"pybuild": PYBUILD, "pyup": PYUP}
DEFAULTS = {"pybuild": "build", "pyup": "up"}


def find(table: tuple[Command, ...], argv: list[str]) -> tuple[Command | None, int]:
    """The command that the first words of `argv` name, and how many words those are; (None, 0) if they name none."""
    for count in (2, 1):
        words = " ".join(argv[:count])
        if len(argv) >= count:
            for command in table:
                if words == command.words or words in command.aliases:
                    return command, count
    return None, 0

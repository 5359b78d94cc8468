"""`pyup publish`: not there."""

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from runner.errors import RunError

USAGE = Usage("Publish a project in a registry (not there yet).", "pyup publish registry.example.com/shop:1.0",
              (Operand("repository", "1", "REPOSITORY[:TAG]"),),
              (Option("--app", FLAG, "with the images it needs"),
               Option("--oci-version", VALUE, "version of the OCI specifications", "VERSION"),
               Option("--resolve-image-digests", FLAG, "pin tags to digests"),
               Option("--with-env", FLAG, "with the variables it was made from"),
               Option("-y --yes", FLAG, "answer every question with yes")))


class NotThere(RunError):
    """A command of compose that this program does not have."""

    help = "`pyup config --resolve-image-digests -o FILE` writes the whole project into one file that can be given away"

    def __str__(self) -> str:
        return "projects cannot be published in registries"


def main(options: Options) -> int:
    raise NotThere

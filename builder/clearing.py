"""`--output type=local,mode=delete`: what is in a directory and not in the image goes before the image is written there."""

import os

from builder.files import DIRECTORY, FORMAT
from kernel.paths import DIRECTORY as AS_DIRECTORY
from kernel.paths import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.files import Files


def clear(files: "Files", destination: str) -> None:
    """Remove what `files` has not, or has as a directory where there is none, or the reverse. Links are never followed. Raises OSError."""
    todo = [""]
    while todo:
        path = todo.pop()
        fd = os.open(f"{destination}/{path}" if path else destination, AS_DIRECTORY | (os.O_NOFOLLOW if path else 0))
        try:
            wanted = {row[0]: row[1][0] & FORMAT == DIRECTORY for row in files.rows(path)}
            for name in os.listdir(fd):
                is_directory = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode & FORMAT == DIRECTORY
                if wanted.get(name) is not is_directory:
                    remove_tree(fd, name)
                elif is_directory:
                    todo.append(f"{path}/{name}" if path else name)
        finally:
            os.close(fd)

"""Instructions that only change a config (`import --change`, `commit --change`). In: a config and lines; out: a config."""

import msgspec

from builder.export import container_config
from builder.images import settings_of
from lang.evaluate import apply_changes
from store.oci import ContainerConfig, ImageConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# what no instruction can say: it stays as it is
_KEPT = ("hostname", "domainname", "args_escaped", "image", "stop_timeout")


def apply(config: ImageConfig, lines: "Sequence[str]") -> ImageConfig:
    """Raises LangError for a line that is no instruction, or one that does more than change the config."""
    if not lines:
        return config
    settings = apply_changes(settings_of(config.config, config.author), lines)
    before = config.config or ContainerConfig()
    changed = msgspec.structs.replace(container_config(settings), **{name: getattr(before, name) for name in _KEPT})
    return msgspec.structs.replace(config, config=changed, author=settings.author)

"""Chains with more layers than can be mounted on each other."""

from tests.builder.conftest import Builds


def test_chain_longer_than_the_kernel_mounts_runs_and_is_cached(as_root: Builds) -> None:
    many = "".join(f"WORKDIR /d/{number}\n" for number in range(190))
    file = f"FROM busybox AS long\n{many}RUN --network=none ls /d | wc -l > /count && rm -r /d/3 && echo first > /d/0/f\n" \
           "RUN --network=none ls /d | wc -l >> /count && cat /d/0/f >> /count\nFROM busybox\nCOPY --from=long /count /\n"
    as_root.ok(file)
    assert as_root.says("cat /count").split() == ["190", "189", "first"]
    assert "(193 of 193 steps cached)" in as_root.ok(file).err


def test_image_with_many_layers_is_made_with_a_warning(as_root: Builds) -> None:
    as_root.write(f="x")
    done = as_root.ok("FROM scratch\n" + "".join(f"COPY f /{number}\n" for number in range(128)))
    assert "warning: the image has 128 layers; docker takes at most 127" in done.err

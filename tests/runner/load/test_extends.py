from tests.runner.load.folder import Folder


def test_extends_in_a_chain(folder: Folder) -> None:
    service = folder.service("services:\n"
                             "  a: {extends: {service: b}, labels: {x: a}}\n"
                             "  b: {extends: c, labels: {x: b, y: b}}\n"
                             "  c: {image: i, labels: {y: c, z: c}}\n")
    assert service.image == "i"
    assert service.labels == (("x", "a"), ("y", "b"), ("z", "c"))


def test_paths_of_a_base_start_at_its_file(folder: Folder) -> None:
    folder.write("sub/base.yaml", "services:\n  b:\n    build: ./ctx\n    env_file: [e.env]\n    volumes: ['./v:/v', 'named:/n']\n"
                                  "    extends: {service: c, file: more/c.yaml}\n")
    folder.write("sub/more/c.yaml", "services:\n  c:\n    volumes: ['./w:/w']\n    label_file: l\n")
    folder.write("sub/e.env", "E=1\n")
    folder.write("sub/more/l", "L=1\n")
    service = folder.service("services:\n  a: {extends: {service: b, file: sub/base.yaml}}\nvolumes: {named: }\n")
    root = str(folder.root)
    assert service.build is not None and service.build.context == f"{root}/sub/ctx"
    assert [mount.source for mount in service.volumes] == [f"{root}/sub/more/w", f"{root}/sub/v", "named"]
    assert service.environment == (("E", "1"),)
    assert service.labels == (("L", "1"),)


def test_paths_stay_relative_without_path_resolution(folder: Folder) -> None:
    folder.write("sub/base.yaml", "services: {b: {image: x, volumes: ['./v:/v']}}")
    service = folder.service("services: {a: {extends: {service: b, file: sub/base.yaml}}}", resolve_paths=False)
    assert service.volumes[0].source == "sub/v"


def test_what_a_base_depends_on_comes_along(folder: Folder) -> None:
    service = folder.service("services: {a: {extends: b}, b: {image: x, depends_on: [c], links: [d]}, c: {image: x}, d: {image: x}}")
    assert [name for name, _ in service.depends_on] == ["c", "d"]


def test_reset_of_what_the_base_says(folder: Folder) -> None:
    service = folder.service("services:\n"
                             "  a: {extends: b, command: !reset , ports: !override ['2:2']}\n"
                             "  b: {image: x, command: c, ports: ['1:1']}\n")
    assert service.command is None
    assert [port.target for port in service.ports] == [2]


def test_a_base_that_says_nothing(folder: Folder) -> None:
    folder.write("base.yaml", "services: {b: }")
    service = folder.service("services: {a: {image: x, extends: {service: b, file: base.yaml}}}")
    assert service.extends is not None and service.extends.service == "b"


def test_other_services_of_a_base_file_need_not_be_right(folder: Folder) -> None:
    folder.write("base.yaml", "services: {b: {image: x}, c: {nonsense: 1}, d: 5, e: }")
    assert folder.service("services: {a: {extends: {service: b, file: base.yaml}}}").image == "x"


def test_a_base_that_is_wrong_is_told_where_it_is(folder: Folder) -> None:
    folder.write("base.yaml", "services:\n  b:\n    imag: x\n")
    text = folder.refused("services: {a: {extends: {service: b, file: base.yaml}}}")
    assert "`services.b` has an unknown attribute `imag`" in text and "--> base.yaml:3:5" in text and "did you mean `image`?" in text


def test_unknown_base(folder: Folder) -> None:
    text = folder.refused("services:\n  a: {extends: webb}\n  web: {image: x}\n")
    assert "service `a` extends `webb`, which is not there" in text and "f0.yaml:2:16" in text and "did you mean `web`?" in text


def test_missing_file(folder: Folder) -> None:
    assert "`nope.yaml`: no such file or directory" in folder.refused("services: {a: {extends: {service: b, file: nope.yaml}}}")


def test_file_without_services(folder: Folder) -> None:
    folder.write("base.yaml", "networks: {n: }")
    assert "`base.yaml` has no services" in folder.refused("services: {a: {extends: {service: b, file: base.yaml}}}")


def test_a_circle(folder: Folder) -> None:
    assert "service `a` extends itself: `a` -> `b` -> `a`" in folder.refused("services: {a: {extends: b}, b: {extends: a}}")


def test_a_circle_through_files(folder: Folder) -> None:
    folder.write("o.yaml", "services: {b: {extends: {service: a, file: f0.yaml}}}")
    assert "extends itself" in folder.refused("services: {a: {extends: {service: b, file: o.yaml}}}")


def test_extends_cannot_multiply_without_end(folder: Folder) -> None:
    links = ", ".join(f"l{i}" for i in range(3000))
    services = f"  s0: {{image: x, security_opt: [{links}]}}\n" + "".join(f"  s{i}: {{extends: s{i - 1}}}\n" for i in range(1, 400))
    assert "larger than a million nodes" in folder.refused("services:\n" + services)

import pytest

from runner.errors import EmptyProject, FileUnreadable, InvalidProjectName, NoComposeFile, RunError
from runner.load.surroundings import normal_name
from tests.runner.load.folder import Folder

A = "services: {a: {image: '${V:-none}'}}"


def image(folder: Folder, **options: object) -> str:
    return folder.load(**options).project.services[0].image  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"])
def test_the_default_file(folder: Folder, name: str) -> None:
    folder.write(name, A)
    folder.write("sub/deep/x", "")
    assert folder.load(cwd="sub/deep").project.files == (f"{folder.root}/{name}",)


def test_the_first_of_several_default_files(folder: Folder) -> None:
    folder.write("compose.yaml", A)
    folder.write("docker-compose.yml", "services: {b: {image: b}}")
    loaded = folder.load()
    assert loaded.project.services[0].name == "a"
    assert loaded.warnings[0].message == "`docker-compose.yml` beside `compose.yaml`: only this one is read"


@pytest.mark.parametrize("name", ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"])
def test_the_override_file_goes_with_the_default_file_only(folder: Folder, name: str) -> None:
    folder.write("compose.yaml", A)
    folder.write(name, "services: {a: {image: over}}")
    assert image(folder) == "over"
    assert image(folder, files=("compose.yaml",)) == "none"


def test_no_file(folder: Folder) -> None:
    with pytest.raises(NoComposeFile, match="no compose file in"):
        folder.load()


def test_compose_file_variable(folder: Folder) -> None:
    folder.write("x.yaml", A)
    folder.write("sub/y.yaml", "services: {a: {image: y}}")
    assert image(folder, env={"COMPOSE_FILE": "x.yaml:sub/y.yaml"}) == "y"
    assert image(folder, env={"COMPOSE_FILE": "sub/y.yaml,x.yaml", "COMPOSE_PATH_SEPARATOR": ",", "V": "v"}) == "v"


def test_compose_file_in_dotenv(folder: Folder) -> None:
    folder.write(".env", "COMPOSE_FILE=dev/c.yaml\nV=outer\nW=outer\n")
    folder.write("dev/.env", "V=inner\nU=inner\n")
    folder.write("dev/c.yaml", "services: {a: {image: '$V-$U-$W', build: .}}")
    loaded = folder.load()
    assert loaded.project.services[0].image == "outer-inner-outer"
    assert loaded.project.working_dir == f"{folder.root}/dev"


def test_standard_input(folder: Folder) -> None:
    loaded = folder.load(files=("-",), stdin=lambda: A.encode())
    assert loaded.project.services[0].image == "none"
    assert (loaded.project.working_dir, loaded.project.files) == (str(folder.root), ("-",))


def test_project_directory(folder: Folder) -> None:
    folder.write("x/c.yaml", "services: {a: {build: ., image: $V}}")
    folder.write("y/.env", "V=y")
    folder.write("x/.env", "V=x")
    loaded = folder.load(files=("x/c.yaml",), project_directory="y")
    assert loaded.project.services[0].image == "y"
    assert loaded.project.services[0].build is not None and loaded.project.services[0].build.context == f"{folder.root}/y"
    assert loaded.project.name == "y"


def test_dotenv_is_beside_the_first_file(folder: Folder) -> None:
    folder.write("x/c.yaml", A)
    folder.write("x/.env", "V=x")
    folder.write(".env", "V=here")
    assert image(folder, files=("x/c.yaml",)) == "x"


def test_the_environment_wins_over_dotenv(folder: Folder) -> None:
    folder.write("compose.yaml", A)
    folder.write(".env", "V=file\n")
    assert image(folder) == "file"
    assert image(folder, env={"V": "env"}) == "env"


def test_env_files_replace_dotenv_and_the_last_one_wins(folder: Folder) -> None:
    folder.write("compose.yaml", "services: {a: {image: '${V}-${W}-${X:-none}'}}")
    folder.write(".env", "X=dotenv\n")
    folder.write("one", "V=1\nW=1\n")
    folder.write("two", "W=2$V\n")
    assert image(folder, env_files=("one", "two")) == "1-21-none"
    assert image(folder, env={"COMPOSE_ENV_FILES": "one,two"}) == "1-21-none"
    assert image(folder, env={"COMPOSE_DISABLE_ENV_FILE": "true"}) == "--none"


def test_a_missing_env_file(folder: Folder) -> None:
    folder.write("compose.yaml", A)
    with pytest.raises(FileUnreadable, match="`nope`: no such file of variables"):
        folder.load(env_files=("nope",))


def test_a_missing_compose_file(folder: Folder) -> None:
    with pytest.raises(FileUnreadable, match=r"`nope\.yaml`: no such file or directory"):
        folder.load(files=("nope.yaml",))


def test_an_empty_project(folder: Folder) -> None:
    for text in ("", "# nothing", "{}", "---\n---\n"):
        folder.write("compose.yaml", text)
        with pytest.raises(EmptyProject):
            folder.load()


def test_an_empty_file_over_another(folder: Folder) -> None:
    assert folder.load(A, "").project.services[0].name == "a"


@pytest.mark.parametrize(("name", "normal"), [("Foo", "foo"), ("_-a-_", "a-_"), ("a.b c", "abc"), ("É", ""), ("1", "1"), ("--", "")])
def test_normal_name(name: str, normal: str) -> None:
    assert normal_name(name) == normal


def test_the_name_of_a_project(folder: Folder) -> None:
    folder.write("My.Dir/compose.yaml", A)
    assert folder.load(cwd="My.Dir").project.name == "mydir"
    folder.write("My.Dir/compose.override.yaml", "name: Over${X:-ride}")
    assert folder.load(cwd="My.Dir").project.name == "override"
    assert folder.load(cwd="My.Dir", env={"COMPOSE_PROJECT_NAME": "env"}).project.name == "env"
    assert folder.load(cwd="My.Dir", env={"COMPOSE_PROJECT_NAME": "env"}, project_name="flag").project.name == "flag"
    folder.write("My.Dir/.env", "COMPOSE_PROJECT_NAME=dotenv")
    assert folder.load(cwd="My.Dir").project.name == "dotenv"


def test_the_name_is_a_variable(folder: Folder) -> None:
    assert folder.service("name: n\nservices: {a: {image: '$COMPOSE_PROJECT_NAME'}}", "name: m").image == "m"


@pytest.mark.parametrize(("options", "message"), [
    ({"project_name": "A b"}, "`A b` (-p) is no project name"),
    ({"env": {"COMPOSE_PROJECT_NAME": "X"}}, "`X` (COMPOSE_PROJECT_NAME) is no"), ])
def test_a_name_that_cannot_be(folder: Folder, options: "dict[str, object]", message: str) -> None:
    folder.write("compose.yaml", A)
    with pytest.raises(InvalidProjectName) as caught:
        folder.load(**options)  # type: ignore[arg-type]
    assert message in str(caught.value) and caught.value.help


def test_a_directory_without_a_name(folder: Folder) -> None:
    folder.write("___/compose.yaml", A)
    with pytest.raises(InvalidProjectName, match="the project has no name"):
        folder.load(cwd="___")


@pytest.mark.parametrize("path", ["\0", "x" * 5000, "dir"])
def test_paths_that_are_no_files(folder: Folder, path: str) -> None:
    folder.write("dir/x", "")
    with pytest.raises(RunError):
        folder.load(files=(path,))

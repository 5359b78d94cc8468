from tests.runner.load.folder import Folder, one


def test_env_files_come_first_and_environment_wins(folder: Folder) -> None:
    folder.write("a.env", "A=a\nB=a\nC=a\n")
    folder.write("b.env", "B=b\nD=$A$HOST\n")
    service = folder.service(one("env_file: [a.env, b.env]\nenvironment: {C: own}"), env={"HOST": "h"})
    assert service.environment == (("A", "a"), ("B", "b"), ("C", "own"), ("D", "ah"))
    assert service.env_file == ()


def test_variables_of_the_service_are_seen_in_its_files(folder: Folder) -> None:
    folder.write("a.env", "A=$B-$HOST\n")
    assert dict(folder.service(one("env_file: a.env\nenvironment: {B: b, HOST: own}"), env={"HOST": "h"}).environment)["A"] == "b-h"


def test_files_are_kept_if_they_are_wanted(folder: Folder) -> None:
    folder.write("a.env", "A=a\n")
    service = folder.service(one("env_file: a.env"), keep_env_files=True)
    assert (service.environment, service.env_file[0].path) == ((("A", "a"),), f"{folder.root}/a.env")
    unread = folder.service(one("env_file: a.env"), resolve_environment=False)
    assert (unread.environment, unread.env_file[0].path) == ((), f"{folder.root}/a.env")


def test_labels_are_read_in_any_case(folder: Folder) -> None:
    folder.write("l", "a=1\n")
    assert folder.service(one("label_file: l"), resolve_environment=False).labels == (("a", "1"),)


def test_label_files(folder: Folder) -> None:
    folder.write("l", "a=1\nb=1\n")
    assert folder.service(one("label_file: l\nlabels: {b: own}")).labels == (("a", "1"), ("b", "own"))


def test_a_file_that_may_be_missing(folder: Folder) -> None:
    assert folder.service(one("env_file: [{path: nope, required: false}]")).environment == ()


def test_a_missing_file_is_told_where_it_is_named(folder: Folder) -> None:
    text = folder.refused(one("env_file:\n  - nope.env"))
    assert "`services.a.env_file[0]`: `nope.env`: no such file or directory" in text and "f0.yaml:5:9" in text and "required: false" in text


def test_all_missing_files_in_one_run(folder: Folder) -> None:
    assert folder.refused(one("env_file: [x, y]\nlabel_file: z")).count("error:") == 3


def test_a_directory_is_no_file(folder: Folder) -> None:
    assert "is a directory" in folder.refused(one("env_file: ."))


def test_faults_of_a_file_are_told_there(folder: Folder) -> None:
    folder.write("e.env", "A=1\nB='x\n")
    assert "--> e.env:2:3" in folder.refused(one("env_file: e.env"))


def test_files_of_disabled_services_are_not_read(folder: Folder) -> None:
    assert folder.load("services: {a: {image: x}, b: {image: x, profiles: [p], env_file: nope}}").project.services

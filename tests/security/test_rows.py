"""The table of known attacks: for each, the tests that make it, here or in the room whose defence it is. A test that is gone is noticed."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# attack -> file: tests (a beginning is enough)
ROWS = {
    "CVE-2019-5736: the command is the runtime": ("security/test_entry: cve_2019_5736",),
    "CVE-2016-9962: process that joins is watched": ("sandbox/test_visit: exec_with_sys_ptrace_inside",),
    "CVE-2024-21626: working directory is a descriptor": ("security/test_images: cve_2024_21626", "sandbox/test_spawn: no_descriptor_leaks"),
    "CVE-2025-31133, 52565: links below /dev": ("security/test_images: cve_2025_31133",),
    "CVE-2025-52881, 2019-19921, 2026-41579, 47766: /proc, /dev are links": ("security/test_images: cve_2026_41579",),
    "CVE-2026-30892: user that is hard to read": ("security/test_images: cve_2026_30892", "sandbox/test_account: resolve_number_out_of_range"),
    "CVE-2022-29162: inheritable capabilities": ("security/test_escape: nothing_gets_out",),
    "CVE-2021-30465: mount target is swapped": ("security/test_images: cve_2021_30465", "security/test_images: mount_target_leads_up"),
    "CVE-2021-25741: part of a volume is swapped": ("security/test_images: cve_2021_25741",),
    "CVE-2024-23651: source of a cache is raced": ("security/test_images: cve_2024_23651", "security/test_builds: cve_2024_23651"),
    "CVE-2024-23652: stubs are replaced": ("security/test_images: cve_2024_23652", "sandbox/test_stubs: process_moves_the_stub"),
    "CVE-2024-23653: entitlements": ("security/test_builds: cve_2024_23653",),
    "CVE-2024-23650, 2026-33747: frontend images": ("security/test_builds: syntax_image_is_not_run",),
    "CVE-2026-33748: subdirectory of a repository": ("builder/remote/test_clone: subdirectory_that_is_none_or_behind_a_link",),
    "CVE-2024-11218: stages race for binds": ("security/test_builds: cve_2024_11218",),
    "outputs and copies through links": ("security/test_builds: output_is_not_written", "security/test_builds: second_copy_through_a_link"),
    "documents and paths that nobody has thought of": ("security/test_fuzz_documents: document", "security/test_fuzz_documents: layout_with_any",
                                                       "security/test_fuzz_paths: open_in_root", "security/test_fuzz_paths: race_for"),
    "what is shown drives the terminal": ("pybuild/test_terminal: an_error", "pybuild/test_terminal: a_cell"),
    "supervisor of owners is led into a fault": ("sandbox/test_emulation: a_fault_of_ours", "sandbox/test_emulation: descriptors_that_are_no"),
    "CVE-2024-1753: bind from an image": ("security/test_builds: cve_2024_1753",),
    "CVE-2024-9407: options of mounts": ("security/test_builds: cve_2024_9407",),
    "CVE-2024-9675, 9676: cache ids, passwd": ("security/test_builds: cve_2024_9675", "security/test_images: passwd_is_a_link"),
    "CVE-2018-15664, 2019-14271: copies": ("runner/test_copying: links_in_a_container_do_not_lead_out", "runner/test_copying: hostile_archives"),
    "CVE-2026-55686: WORKDIR through a link": ("security/test_builds: cve_2026_55686", "security/test_images: cve_2026_55686"),
    "CVE-2021-41091: store open to others": ("store/test_root: root_is_made_private", "store/test_root: run_directory_open_to_others"),
    "CVE-2021-29136: root entry is a link": ("store/test_extract: root_entry_that_is_no_directory",),
    "archives that lead out": ("store/test_extract: name_that_leads_outside", "store/test_extract: link_hops_stay_inside"),
    "whiteouts": ("store/test_extract: whiteout_of_no_name", "store/test_extract: whiteout_through_a_link"),
    "CVE-2025-4517: chains longer than a path": ("store/test_extract: link_chain_longer_than_a_path",),
    "attributes of overlay in layers": ("store/test_extract: attributes_that_a_layer_carries", "sandbox/test_overlay: layer_cannot_name_a_directory"),
    "device nodes": ("security/test_escape: nothing_gets_out", "store/test_extract: device_number_that_no_kernel_has"),
    "bombs": ("store/test_compression: decompress_gives_a_bomb", "store/test_compression: decompress_refuses_a_window",
              "store/test_tarreader: header_that_fills_the_memory", "store/test_extract: holes_are_counted", "store/registry/test_pull: bomb_of_a_manifest",
              "store/registry/test_pull: deep_json", "store/test_archive: load_of_an_index_inside_of_itself"),
    "COPY: links, FIFOs, deep trees": ("security/test_builds: copy_does_not_follow_links", "security/test_builds: bind_of_the_context",
                                       "builder/test_copying: copy_absolute_symlink_never_leaves"),
    "files of /etc are links": ("security/test_images: files_of_etc", "security/test_builds: files_of_etc"),
    "git: options, hooks, submodules": ("builder/remote/test_git: remote_that_git_could_take", "builder/remote/test_git: settings_of_user_and_machine",
                                        "builder/remote/test_clone: attributes_and_hooks", "builder/remote/test_clone: submodule_cannot_say"),
    "ADD: schemes and names": ("builder/remote/test_transfer: redirect_to_another_scheme", "builder/remote/test_address: follow_leads_to_no_other_scheme",
                               "builder/remote/test_download: hostile_archive"),
    "CVE-2020-15157: credentials to others": ("store/registry/test_connection: credentials_do_not_follow", "store/registry/test_connection: realm_that",
                                              "builder/remote/test_transfer: authorization_goes_to_its_own"),
    "CVE-2021-41190: manifest and index": ("store/test_archive: load_of_a_document_that_is_a_manifest_and_an_index",
                                           "store/registry/test_pull: hostile_manifest"),
    "digests": ("store/test_digest: digest_that_is_none", "store/test_blobs: digest_cannot_lead_elsewhere", "store/registry/test_pull: wrong_layer"),
    "archives of images with links": ("store/test_archive: load_of_an_archive_with_links_to_the_host", "store/test_archive: load_of_a_layout_with_links"),
    "cache poisoning": ("builder/test_copying: content_digest_racy", "builder/cache/test_mounts: a_file_that_had_just_changed"),
    "secrets": ("security/test_builds: secret_is_in_no_layer", "runner/test_volumes: secrets_are_not_in_the_writable_layer"),
    "CVE-2025-62725, remote compose files": ("runner/load/test_include: remote_files_may_not",),
    "YAML bombs": ("runner/load/test_document: too_deep", "runner/load/test_document: too_many_nodes", "runner/load/test_document: merge_keys",
                   "runner/load/test_include: a_circle", "runner/load/test_interpolate: values_may_not_grow"),
    "CVE-2026-31431: kernel crypto sockets": ("security/test_escape: nothing_gets_out", "sandbox/test_seccomp: sockets_of_the_hypervisor"),
    "escapes by the kernel's interfaces": ("security/test_escape: nothing_gets_out", "security/test_escape: nothing_gets_out_below_another",
                                           "security/test_escape: attempts_are_real_ones"),
    "CVE-2020-15257: sockets of the host": ("sandbox/test_network: abstract_sockets", "security/test_escape: nothing_gets_out"),
    "kill -9 and ^C": ("runner/test_kills: ", "store/test_kills: ", "builder/test_build: interrupted_build", "sandbox/test_zygote: killed_zygote",
                       "sandbox/test_shim: killed_shim"),
}


@pytest.mark.parametrize("attack", ROWS)
def test_attack_has_its_tests(attack: str) -> None:
    for row in ROWS[attack]:
        file, beginning = row.split(": ")
        tree = ast.parse((TESTS / f"{file}.py").read_text())
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert [name for name in names if name.startswith(f"test_{beginning}")], row

"""Which system calls a sandbox may make: our own default list, and profiles in docker's JSON format.

The default allows what ordinary programs use, refuses with EPERM what reaches beyond the sandbox, and answers ENOSYS to the rest, so that
programs fall back as on an older kernel. Some calls come with a capability.
"""

import os

from sandbox import capabilities
from sandbox.seccomp import ALLOW, ENOSYS, EPERM, ERRNO, Condition, Rule, Rules, compile
from sandbox.syscall_numbers import numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ALLOWED = """
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_adjtime clock_getres clock_gettime
clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2
epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat
fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex
futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid
getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid
getsockname getsockopt gettid gettimeofday getuid getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
io_destroy io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lchown lgetxattr link linkat listen listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat madvise
map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap modify_ldt mprotect
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll
ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read
readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2
restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
sendfile sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid
setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr setxattrat shmat shmctl shmdt shmget shutdown
sigaltstack signalfd signalfd4 socketpair splice stat statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask
uname unlink unlinkat uretprobe utime utimensat utimes vfork wait4 waitid write writev
"""
REFUSED = """
acct add_key bpf chroot clock_settime delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick get_mempolicy init_module ioperm
iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind migrate_pages mount mount_setattr move_mount move_pages nfsservctl
open_by_handle_at open_tree open_tree_attr perf_event_open personality pidfd_getfd pivot_root process_madvise quotactl quotactl_fd reboot
request_key set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday swapoff swapon sysfs syslog umount2 unshare uselib
userfaultfd ustat vhangup vmsplice
"""
WITH_CAPABILITY = {
    "SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree"
                 " open_tree_attr perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns syslog umount2 unshare",
    "BPF": "bpf",
    "DAC_READ_SEARCH": "open_by_handle_at",
    "PERFMON": "perf_event_open",
    "SYSLOG": "syslog",
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "ioperm iopl",
    "SYS_TIME": "clock_settime settimeofday",
    "SYS_TTY_CONFIG": "vhangup",
}
_INT = 0xFFFFFFFF
_NEW_NAMESPACES = 0x7E020000      # every CLONE_NEW* that clone(2) takes
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)
_AF_NETLINK, _AF_ALG, _AF_VSOCK, _NETLINK_AUDIT, _EINVAL = 16, 38, 40, 9, 22
UNKNOWN = ERRNO | ENOSYS


def default_rules(held: int) -> "dict[str, tuple[Rule, ...]]":
    """Name -> rules of our own profile for a process that holds the capabilities `held`; what is not in it is answered UNKNOWN."""
    allow: tuple[Rule, ...] = (Rule(ALLOW),)
    refuse: tuple[Rule, ...] = (Rule(ERRNO | EPERM),)
    rules = dict.fromkeys(REFUSED.split(), refuse) | dict.fromkeys(ALLOWED.split(), allow)
    rules["clone"] = (Rule(ALLOW, (Condition(0, "masked", 0, _NEW_NAMESPACES),)), *refuse)
    rules["clone3"] = (Rule(ERRNO | ENOSYS),)             # its flags are behind a pointer; the C libraries fall back to clone
    rules["personality"] = (*(Rule(ALLOW, (Condition(0, "eq", one),)) for one in _PERSONALITIES), *refuse)
    rules["socket"] = tuple(_sockets(held)) + allow
    for name, calls in WITH_CAPABILITY.items():
        if held & capabilities.bit(name):
            rules |= dict.fromkeys(calls.split(), allow)
    return rules


def _sockets(held: int) -> "Iterable[Rule]":
    """AF_ALG reaches kernel crypto code that no container needs, AF_VSOCK the hypervisor; audit messages need the capability."""
    for family in (_AF_ALG, _AF_VSOCK):
        yield Rule(ERRNO | EPERM, (Condition(0, "masked", family, _INT),))
    if not held & capabilities.bit("AUDIT_WRITE"):
        yield Rule(ERRNO | _EINVAL, (Condition(0, "masked", _AF_NETLINK, _INT), Condition(2, "masked", _NETLINK_AUDIT, _INT)))


def default_program(held: int, machine: str = "") -> bytes:
    """The compiled default profile for a process that holds `held`."""
    machine = machine or os.uname().machine
    return compile(numbered(default_rules(held), machine), UNKNOWN, machine)


def numbered(rules: "dict[str, tuple[Rule, ...]]", machine: str) -> Rules:
    """By number instead of by name; calls that the machine does not have are left out."""
    known = numbers(machine)
    return {known[name]: value for name, value in rules.items() if name in known}

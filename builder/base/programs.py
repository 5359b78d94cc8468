"""The programs of `host/base`: plain names. A machine that lacks some gives an image without them; `sh` it must have."""

NEEDED = ("sh",)

_COREUTILS = """
[ arch b2sum base32 base64 basename basenc cat chcon chgrp chmod chown chroot cksum comm cp csplit cut date dd df dir dircolors dirname du
echo env expand expr factor false fmt fold groups head hostid id install join link ln logname ls md5sum mkdir mkfifo mknod mktemp mv nice nl
nohup nproc numfmt od paste pathchk pinky pr printenv printf ptx pwd readlink realpath rm rmdir runcon seq sha1sum sha224sum sha256sum
sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty sum sync tac tail tee test timeout touch tr true truncate tsort tty uname
unexpand uniq unlink users vdir wc who whoami yes
"""
_TEXT_AND_FILES = """
bash dash grep egrep fgrep sed awk mawk gawk nawk find xargs diff cmp diff3 sdiff which run-parts
tar gzip gunzip zcat bzip2 bunzip2 bzcat xz unxz xzcat zstd unzstd zstdcat
"""
_PROCESSES = """
ps top free kill pgrep pidof pkill pmap pwdx skill slabtop snice sysctl tload uptime vmstat w watch killall5
"""
_UTIL_LINUX = """
choom chrt dmesg fallocate findmnt flock getopt hostname domainname dnsdomainname ionice ipcmk ipcrm ipcs logger losetup lsblk lscpu lsipc
lslocks lsns mcookie more mount mountpoint namei nsenter pivot_root prlimit rename.ul renice rev script setarch setpriv setsid
switch_root taskset uclampset umount unshare whereis
"""
_SYSTEM = """
getconf getent iconv ldconfig ldd locale
useradd userdel usermod groupadd groupdel groupmod nologin
clear tput reset tset
"""

OPTIONAL = tuple(dict.fromkeys((_COREUTILS + _TEXT_AND_FILES + _PROCESSES + _UTIL_LINUX + _SYSTEM).split()))

# where programs of the system lie; the user's own PATH plays no part, so that every user of a machine makes the same image
DIRECTORIES = ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/run/current-system/sw/bin")

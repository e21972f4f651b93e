#!/bin/busybox sh
# Process 1 of the test guest (see README.md). Gives the job a copy-on-write view of the host's
# root, runs /run/job/command.sh in it, tells the host the exit code and powers off.

/bin/busybox --install -s /bin
export PATH=/bin
R=/host

mkdir -p /proc /dev /lower /rw $R
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
modprobe -a virtio_pci virtio_console 9pnet_virtio 9p overlay

p9() { mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$1" "$2" "$3"; }


p9 ro,cache=loose root /lower
mount -t tmpfs -o size=80% tmpfs /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work overlay $R

mkdir -p $R/proc $R/sys $R/dev $R/run $R/lib/modules
mount -t proc proc $R/proc
mount -t sysfs sysfs $R/sys
mount -t devtmpfs devtmpfs $R/dev
mkdir -p $R/dev/pts $R/dev/shm
mount -t devpts devpts $R/dev/pts
mount -t tmpfs tmpfs $R/dev/shm
mount -t tmpfs tmpfs $R/run
mount --bind /lib/modules $R/lib/modules
ln -sf /proc/self/fd $R/dev/fd
ln -sf /proc/self/fd/0 $R/dev/stdin
ln -sf /proc/self/fd/1 $R/dev/stdout
ln -sf /proc/self/fd/2 $R/dev/stderr

mkdir -p $R/run/job $R/run/lock $R/mnt/share
p9 ro,cache=loose job $R/run/job
grep -q '\<share\>' /proc/cmdline && p9 rw,access=any share $R/mnt/share

# A tree below /tmp would be hidden by an empty /tmp.
[ -e $R/run/job/keep-tmp ] || mount -t tmpfs -o mode=1777 tmpfs $R/tmp

hostname ocelli-guest
ifconfig lo 127.0.0.1 up

# A pipe, not the port itself: programs then see what they see under a test runner, and may
# open /dev/stdout again.
mkfifo /out
cat < /out > /dev/vport0p1 &
exec 3> /out
echo '@@guest-start' >&3
chroot $R /bin/sh /run/job/command.sh < /dev/null >&3 2>&1
echo "@@guest-exit $?" >&3
exec 3>&-
sync
sleep 0.1
poweroff -f

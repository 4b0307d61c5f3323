#!/bin/sh
# Runs a script as root of a machine of its own, in namespaces of this one: what it writes is gone when it ends.
# enter.sh SCRATCH SCRIPT, with PYTHON_HOME and PYTHON_PATH for the interpreter and the packages to find there.
set -eu
scratch=$1 script=$2
mount -t tmpfs none "$scratch"
mkdir "$scratch/root" "$scratch/bin"
for folder in /etc /opt /var /usr/local/bin; do
    mkdir -p "$scratch/upper$folder" "$scratch/work$folder"
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=$scratch/upper$folder,workdir=$scratch/work$folder" "$folder"
done
mount -t tmpfs none /run
mkdir -p /opt/python /opt/packages
mount --bind "$PYTHON_HOME" /opt/python
mount --bind "$PYTHON_PATH" /opt/packages
echo '127.0.0.1 localhost inbox.example.org' >/etc/hosts
/opt/python/bin/python3 -c "
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14x', b'lo', 1))  # SIOCSIFFLAGS, IFF_UP: netdevice(7)"
install -m 755 "$(dirname "$0")/bin/"* "$scratch/bin"
cp -r "$CHECKOUT/deploy" "$WHEEL" "$scratch/root"
cd "$scratch/root"
export PATH="$scratch/bin:/opt/python/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" LANG=C.UTF-8 HOME="$scratch/root"
export PIP_NO_INDEX=1 PIP_NO_DEPS=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export CURL_CA_BUNDLE=/etc/letsencrypt/live/inbox.example.org/fullchain.pem
export SSL_CERT_FILE=$CURL_CA_BUNDLE LD_LIBRARY_PATH=/opt/python/lib
exec sh -e "$script"

export DISTRO_NAME=debian
export DIB_INIT_SYSTEM=systemd
export DIB_RELEASE=${DIB_RELEASE:-bookworm}
export DIB_APT_LINES=${DIB_APT_LINES:?lines of sources.list}
export DIB_DEBIAN_BASE_KERNEL=${DIB_DEBIAN_BASE_KERNEL:-linux-image-${ARCH:-amd64}}
export DIB_DEBIAN_BASE_PACKAGES=${DIB_DEBIAN_BASE_PACKAGES:-systemd,systemd-sysv,udev,dbus,kmod,initramfs-tools,zstd,openssh-server,python3,iproute2,iputils-ping,netbase,procps,less,curl,ca-certificates,e2fsprogs,fdisk}
export DIB_DEBIAN_BASE_EXCLUDES=${DIB_DEBIAN_BASE_EXCLUDES:-/usr/share/man/* /usr/share/doc/* /usr/share/locale/*}
export DIB_DEBIAN_BASE_CACHE=${DIB_DEBIAN_BASE_CACHE:-${DIB_IMAGE_CACHE:-}}
export DIB_INITRAMFS_MODULES=${DIB_INITRAMFS_MODULES:-most}
export DIB_KERNEL_COMMAND_LINE=${DIB_KERNEL_COMMAND_LINE:-console=tty0 console=ttyS0,115200}

# Before 10-debian-base.bash, which keeps what is set.
export DIB_DEBIAN_BASE_KERNEL=${DIB_DEBIAN_BASE_KERNEL:-linux-image-cloud-amd64}
export DIB_INITRAMFS_MODULES=${DIB_INITRAMFS_MODULES:-virtio_pci virtio_blk virtio_net ext4}
export DIB_KERNEL_COMMAND_LINE=${DIB_KERNEL_COMMAND_LINE:-console=ttyS0,115200 rw quiet systemd.show_status=0 net.ifnames=0 mitigations=off}
export DIB_DEBIAN_BASE_EXCLUDES=${DIB_DEBIAN_BASE_EXCLUDES:-/usr/share/man/* /usr/share/doc/* /usr/share/locale/* /usr/include/* /usr/lib/x86_64-linux-gnu/*.a}

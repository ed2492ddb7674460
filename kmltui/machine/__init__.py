"""One virtual machine: QEMU, the channel to process 1 of the guest, the agent's samples."""

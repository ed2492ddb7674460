/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first code that runs in every program whose loader was rewritten (or, of a static program, which was rewritten
 * itself): makes sure that the page at 0x10000, through which all thunks jump, is there.
 *
 * On entry: as the kernel starts programs, with rsp -> argc, rdx meant for the program, all else zero. rsp, rdx and the
 * memory from rsp up are preserved; all else is zero again at the end, where the program's own first instructions are
 * appended. It runs before any relocation, so it refers to nothing outside itself.
 *
 * In a program that the kernel module attaches, the module has mapped the page before this runs: then mmap returns
 * EEXIST. Any other program gets a page of its own, whose first word leads to the slow code below, which executes the
 * site's own `syscall`, two bytes before the address that the thunk has put into rcx. The slow code is here and not in
 * the page so that unwinders find what they need for it; entry.py knows its size.
 */
	.set	PAGE, 0x10000
	.set	NR_write, 1
	.set	NR_mmap, 9
	.set	NR_mprotect, 10
	.set	NR_exit_group, 231
	.set	PROT_RW, 3
	.set	PROT_R, 1
	.set	MAP_FLAGS, 0x100022	/* MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE */
	.set	EEXIST, 17

	.text
	.globl	_start
_start:
slow:
	lea	-2(%rcx), %r11
	jmp	*%r11
	.balign	8

	push	%rdx
	mov	$PAGE, %edi
	mov	$4096, %esi
	mov	$PROT_RW, %edx
	mov	$MAP_FLAGS, %r10d
	or	$-1, %r8
	xor	%r9d, %r9d
	mov	$NR_mmap, %eax
	syscall
	cmp	$-EEXIST, %rax
	je	ready
	cmp	%rdi, %rax
	jne	fail

	lea	slow(%rip), %rax
	mov	%rax, (%rdi)
	mov	$PROT_R, %edx
	mov	$NR_mprotect, %eax
	syscall
	test	%rax, %rax
	jz	ready

	/* Without the page the first system call would jump to an unmapped address: print a message and exit. */
fail:
	mov	$2, %edi
	lea	message(%rip), %rsi
	mov	$(message_end - message), %edx
	mov	$NR_write, %eax
	syscall
	mov	$127, %edi
	mov	$NR_exit_group, %eax
	syscall
	hlt

message:
	.ascii	"cannot map the page at 0x10000, which the rewritten system calls of this program need\n"
message_end:

ready:
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	pop	%rdx
	/* the program's own first instructions */

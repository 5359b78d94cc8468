# The code in sandbox/init.py for x86_64; tests/sandbox/test_init.py assembles it and compares. What it does is told there.
# Kept in callee-saved registers: ebx = main process, r12 = a mask of all signals, r13 = where wait4 puts the status.
        .globl  _start
_start: mov     (%rsp), %rdi            # argc
        cmp     $2, %edi
        jne     join

        mov     16(%rsp), %rsi          # init PID: read the number
        xor     %ebx, %ebx
digit:  movzbl  (%rsi), %eax
        test    %eax, %eax
        jz      ready
        lea     (%rbx,%rbx,4), %ebx
        lea     -48(%rax,%rbx,2), %ebx
        inc     %rsi
        jmp     digit
ready:  push    $-1
        mov     %rsp, %r12
        push    $0
        mov     %rsp, %r13
        jmp     reap                    # it may have ended before the signals were held back

next:   mov     $128, %eax              # rt_sigtimedwait(mask, 0, 0, 8)
        mov     %r12, %rdi
        xor     %esi, %esi
        xor     %edx, %edx
        mov     $8, %r10d
        syscall
        test    %eax, %eax
        jle     next
        cmp     $17, %eax               # SIGCHLD
        je      reap
        mov     %eax, %esi              # kill(main, signal)
        mov     %ebx, %edi
        mov     $62, %eax
        syscall
        jmp     next

reap:   mov     $61, %eax               # wait4(-1, &status, WNOHANG, 0)
        mov     $-1, %rdi
        mov     %r13, %rsi
        mov     $1, %edx
        xor     %r10d, %r10d
        syscall
        test    %eax, %eax
        jle     next
        cmp     %ebx, %eax
        jne     reap
        mov     (%r13), %edi
        mov     %edi, %eax
        and     $0x7f, %eax
        jz      exited
        lea     128(%rax), %edi         # killed: 128 + signal
        jmp     leave
exited: shr     $8, %edi
        and     $0xff, %edi
leave:  mov     $231, %eax              # exit_group
        syscall

join:   mov     $72, %eax               # fcntl(3, F_SETFD, FD_CLOEXEC)
        mov     $3, %edi
        mov     $2, %esi
        mov     $1, %edx
        syscall
        push    $-1                     # pipe2(ends, O_CLOEXEC): if it is refused, both are -1
        mov     %rsp, %rdi
        mov     $0x80000, %esi
        mov     $293, %eax
        syscall
        pop     %r14                    # r14d: read from, r15d: written to
        mov     %r14, %r15
        shr     $32, %r15
        mov     $56, %eax               # clone(CLONE_PARENT)
        mov     $0x8000, %edi
        xor     %esi, %esi
        xor     %edx, %edx
        xor     %r10d, %r10d
        xor     %r8d, %r8d
        syscall
        test    %eax, %eax
        jz      born
        js      failed
        mov     $4, %edx                # tell its pid: 4 bytes
        jmp     tell
born:   mov     $3, %eax                # close(r15)
        mov     %r15d, %edi
        syscall
        xor     %eax, %eax              # read(r14, .., 1): who has borne us was killed before it told of us?
        mov     %r14d, %edi
        lea     -8(%rsp), %rsi
        mov     $1, %edx
        syscall
        mov     $137, %edi
        test    %eax, %eax
        jz      leave
        mov     $112, %eax              # setsid
        syscall
        mov     16(%rsp), %rax
        cmpb    $'t', (%rax)
        jne     bound
        mov     $16, %eax               # ioctl(0, TIOCSCTTY, 0)
        xor     %edi, %edi
        mov     $0x540e, %esi
        xor     %edx, %edx
        syscall
bound:  mov     $157, %eax              # prctl(PR_SET_PDEATHSIG, SIGKILL)
        mov     $1, %edi
        mov     $9, %esi
        syscall
        mov     (%rsp), %rax            # execve(argv[2], argv + 3, environment)
        lea     16(%rsp,%rax,8), %rdx
        mov     24(%rsp), %rdi
        lea     32(%rsp), %rsi
        mov     $59, %eax
        syscall
failed: neg     %eax                    # tell the error: 8 bytes
        mov     $8, %edx
tell:   push    %rax
        mov     $1, %eax                # write(3, ...)
        mov     $3, %edi
        mov     %rsp, %rsi
        syscall
        mov     $1, %eax                # write(r15, .., 1): it is known
        mov     %r15d, %edi
        mov     $1, %edx
        syscall
        xor     %edi, %edi
        jmp     leave

// The code in sandbox/init.py for aarch64; tests/sandbox/test_init.py assembles it and compares. What it does is told there.
// Kept in callee-saved registers: w19 = main process, x20 = a mask of all signals, x21 = where wait4 puts the status.
        .globl  _start
_start: ldr     x0, [sp]                // argc
        cmp     x0, #2
        b.ne    join

        ldr     x1, [sp, #16]           // init PID: read the number
        mov     w19, #0
        mov     w3, #10
digit:  ldrb    w0, [x1], #1
        cbz     w0, ready
        sub     w0, w0, #48
        madd    w19, w19, w3, w0
        b       digit
ready:  mov     x0, #-1
        stp     x0, xzr, [sp, #-16]!
        mov     x20, sp
        add     x21, sp, #8
        b       reap                    // it may have ended before the signals were held back

next:   mov     x8, #137                // rt_sigtimedwait(mask, 0, 0, 8)
        mov     x0, x20
        mov     x1, #0
        mov     x2, #0
        mov     x3, #8
        svc     #0
        cmp     w0, #0
        b.le    next
        cmp     w0, #17                 // SIGCHLD
        b.eq    reap
        mov     w1, w0                  // kill(main, signal)
        mov     w0, w19
        mov     x8, #129
        svc     #0
        b       next

reap:   mov     x8, #260                // wait4(-1, &status, WNOHANG, 0)
        mov     x0, #-1
        mov     x1, x21
        mov     x2, #1
        mov     x3, #0
        svc     #0
        cmp     w0, #0
        b.le    next
        cmp     w0, w19
        b.ne    reap
        ldr     w1, [x21]
        ands    w0, w1, #0x7f
        b.eq    exited
        add     w0, w0, #128            // killed: 128 + signal
        b       leave
exited: ubfx    w0, w1, #8, #8
leave:  mov     x8, #94                 // exit_group
        svc     #0

join:   mov     x8, #25                 // fcntl(3, F_SETFD, FD_CLOEXEC)
        mov     x0, #3
        mov     x1, #2
        mov     x2, #1
        svc     #0
        mov     x0, #-1                 // pipe2(ends, O_CLOEXEC): if it is refused, both are -1
        str     x0, [sp, #-16]!
        mov     x0, sp
        mov     x1, #0x80000
        mov     x8, #59
        svc     #0
        ldp     w22, w23, [sp], #16     // w22: read from, w23: written to
        mov     x8, #220                // clone(CLONE_PARENT)
        mov     x0, #0x8000
        mov     x1, #0
        mov     x2, #0
        mov     x3, #0
        mov     x4, #0
        svc     #0
        cmp     x0, #0
        b.eq    born
        b.lt    failed
        mov     x2, #4                  // tell its pid: 4 bytes
        b       tell
born:   mov     x8, #57                 // close(w23)
        mov     w0, w23
        svc     #0
        mov     x8, #63                 // read(w22, .., 1): who has borne us was killed before it told of us?
        mov     w0, w22
        sub     x1, sp, #16
        mov     x2, #1
        svc     #0
        mov     w1, w0
        mov     w0, #137
        cbz     w1, leave
        mov     x8, #157                // setsid
        svc     #0
        ldr     x1, [sp, #16]
        ldrb    w1, [x1]
        cmp     w1, #'t'
        b.ne    bound
        mov     x8, #29                 // ioctl(0, TIOCSCTTY, 0)
        mov     x0, #0
        mov     x1, #0x540e
        mov     x2, #0
        svc     #0
bound:  mov     x8, #167                // prctl(PR_SET_PDEATHSIG, SIGKILL)
        mov     x0, #1
        mov     x1, #9
        svc     #0
        ldr     x1, [sp]                // execve(argv[2], argv + 3, environment)
        add     x2, sp, #16
        add     x2, x2, x1, lsl #3
        ldr     x0, [sp, #24]
        add     x1, sp, #32
        mov     x8, #221
        svc     #0
failed: neg     w0, w0                  // tell the error: 8 bytes
        mov     x2, #8
tell:   str     x0, [sp, #-16]!
        mov     x8, #64                 // write(3, ...)
        mov     x0, #3
        mov     x1, sp
        svc     #0
        mov     x8, #64                 // write(w23, .., 1): it is known
        mov     w0, w23
        mov     x2, #1
        svc     #0
        mov     w0, #0
        b       leave

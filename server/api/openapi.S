/* The contract as read-only data. OPENAPI_PATH comes from the build. */
    .section .rodata
    .globl openapi_begin
    .globl openapi_end
openapi_begin:
    .incbin OPENAPI_PATH
openapi_end:
    .byte 0
    .section .note.GNU-stack, "", %progbits

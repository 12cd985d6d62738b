/* The default model's file as read-only data. DEFAULT_MODEL_PATH comes from the build. */
    .section .rodata
    .balign 64
    .globl elmo_default_model_begin
    .globl elmo_default_model_end
elmo_default_model_begin:
    .incbin DEFAULT_MODEL_PATH
elmo_default_model_end:
    .byte 0
    .section .note.GNU-stack, "", %progbits

"""Changes the user's PIN on a token, as its maker's tool would: change_pin.py MODULE LABEL, the two PINs on standard input.

SoftHSM's own tool cannot.
"""

import ctypes
import sys

CKF_RW_SERIAL = 0x6
CKU_USER = 1


def main():
    module = ctypes.CDLL(sys.argv[1])
    label = sys.argv[2].encode()
    old, new = (line.rstrip("\n").encode() for line in sys.stdin)

    def call(name, *arguments):
        rv = getattr(module, name)(*arguments)
        assert rv == 0, f"{name}: 0x{rv & 0xFFFFFFFF:x}"

    def number(value):
        return ctypes.c_ulong(value)

    call("C_Initialize", None)
    count = number(0)
    call("C_GetSlotList", ctypes.c_ubyte(1), None, ctypes.byref(count))
    slots = (ctypes.c_ulong * count.value)()
    call("C_GetSlotList", ctypes.c_ubyte(1), slots, ctypes.byref(count))
    info = ctypes.create_string_buffer(512)  # CK_TOKEN_INFO begins with 32 bytes of label
    for slot in slots:
        call("C_GetTokenInfo", number(slot), info)
        if info.raw[:32].rstrip() == label:
            break
    else:
        sys.exit(f"no token '{label.decode()}'")
    session = number(0)
    call("C_OpenSession", number(slot), number(CKF_RW_SERIAL), None, None, ctypes.byref(session))
    call("C_Login", session, number(CKU_USER), old, number(len(old)))
    call("C_SetPIN", session, old, number(len(old)), new, number(len(new)))
    call("C_Finalize", None)


if __name__ == "__main__":
    main()

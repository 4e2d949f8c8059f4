"""Runs a command at a terminal of its own and answers what it asks, in order: answer.py [PROMPT ANSWER]… -- COMMAND…

Exit code: the command's; 99 when a prompt did not come within two minutes, or a prompt was left that nobody asked.
"""

import os
import pty
import select
import sys

UNASKED = 99
PATIENCE_S = 120


def main(arguments):
    end = arguments.index("--")
    dialogue = list(zip(arguments[:end:2], arguments[1:end:2]))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(arguments[end + 1], arguments[end + 1:])
    heard = ""
    while True:
        if not select.select([terminal], [], [], PATIENCE_S)[0]:
            print(f"\nanswer.py: nothing was said for {PATIENCE_S} s", file=sys.stderr)
            os.close(terminal)
            os.waitpid(pid, 0)
            return UNASKED
        try:
            said = os.read(terminal, 65536)
        except OSError:  # the end, as Linux tells it
            said = b""
        if not said:
            break
        sys.stdout.write(said.decode(errors="replace"))
        sys.stdout.flush()
        heard += said.decode(errors="replace")
        if dialogue and dialogue[0][0] in heard:
            heard = heard[heard.index(dialogue[0][0]) + len(dialogue[0][0]):]
            os.write(terminal, (dialogue.pop(0)[1] + "\n").encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if dialogue:
        print(f"answer.py: never asked: {dialogue[0][0]}", file=sys.stderr)
        return UNASKED
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

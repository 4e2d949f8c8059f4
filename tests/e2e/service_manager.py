"""What systemd does for skmsd: it holds the listening sockets, hands them over, and hears what the daemon says of itself."""

import json
import socket
import subprocess
import sys
import threading

from appliance import BIN, wait_for

# Descriptors from 3 on and LISTEN_PID, which only the process itself knows (sd_listen_fds(3)).
HAND_OVER = """
import fcntl, json, os, sys
descriptors, environment, command = json.loads(sys.argv[1])
moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in descriptors]  # out of the way of each other
for target, fd in enumerate(moved, 3):
    os.dup2(fd, target)
os.environ.update(environment, LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(descriptors)))
os.closerange(3 + len(descriptors), 256)
os.execv(command[0], command)
"""


class ServiceManager:
    """For one appliance: with it, `appliance.start()` is what `systemctl start` does."""

    def __init__(self, appliance, paths, watchdog_seconds=None):
        self.appliance = appliance
        self.watchdog_seconds = watchdog_seconds
        self.listeners = []
        for path in paths:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen(1024)
            self.listeners.append(listener)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify_path = appliance.directory / "notify.sock"
        self.notified.bind(str(self.notify_path))
        self.heard = []
        self.listening = threading.Thread(target=self.listen, daemon=True)  # nobody hears: the daemon waits to be heard
        self.listening.start()
        appliance.spawn = self.spawn

    def listen(self):
        while (message := self.notified.recv(4096).decode()) != "":
            self.heard.append(message)

    def spawn(self, log):
        environment = {**self.appliance.recorded(), "NOTIFY_SOCKET": str(self.notify_path)}
        if self.watchdog_seconds is not None:
            environment["WATCHDOG_USEC"] = str(int(self.watchdog_seconds * 1_000_000))
        # Only skmsd itself is recorded.
        late = {key: environment.pop(key) for key in ("LD_PRELOAD", "SKMS_RECORDING") if key in environment}
        descriptors = [one.fileno() for one in self.listeners]
        command = [str(BIN / "skmsd"), "--config", str(self.appliance.config)]
        return subprocess.Popen([sys.executable, "-c", HAND_OVER, json.dumps([descriptors, late, command])], env=environment, pass_fds=descriptors,
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_for_message(self, text, after=0):
        wait_for(lambda: any(text in message for message in self.heard[after:]), f"'{text}' from skmsd")

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self.notify_path))
        self.listening.join()
        for one in [*self.listeners, self.notified]:
            one.close()

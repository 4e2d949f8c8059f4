"""The man pages and --help tell the same, and bash and zsh complete it: read and asked as a person would."""

import os
import pty
import re
import select
import subprocess

import pytest

from appliance import BIN

PAGES = {"skmsd": 8, "skmsctl": 8, "skmc": 1}
MADE = BIN.parent
VALUE = r"\[?(?:[A-Z]+|[\w-]+(?:\|[\w-]+)+)\]?"  # FILE, a|b


def printed(program, *arguments):
    return subprocess.run([BIN / program, *arguments], capture_output=True, text=True, check=True).stdout


def manual_of(program):
    return printed(program, "--manual" if program == "skmsd" else "manual")


def completion_of(program, shell):
    return printed(program, "--completion" if program == "skmsd" else "completion", shell)


def words(text):
    return re.sub(r"\s+", " ", text).strip()


def plain(text):
    """A description as both tell it: the page has a capital and a full stop, and says what is required in words of its own."""
    text = re.sub(r"( Required\.| May be given more than once\.| Default: \S+\.)+$", "", words(text)).rstrip(".")
    return text[:1].lower() + text[1:]


class Page:
    """A rendered page: its sections, and the options of each command."""

    def __init__(self, program):
        done = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=500"], input=manual_of(program), capture_output=True, text=True, check=True)
        self.text = re.sub(".\b", "", done.stdout)  # bold is struck twice
        self.sections = dict(re.findall(r"^([A-Z][A-Z ]+)\n((?:(?: .*)?\n)+)", self.text, re.M))
        self.commands = {}
        for heading, body in re.findall(r"^ {3}(\S.*)\n((?:(?: {5,}.*)?\n)+)", self.sections.get("COMMANDS", ""), re.M):
            self.commands[heading.strip()] = body

    @staticmethod
    def options(body):
        found = {}
        for term, text in re.findall(rf"^ +((?:-\w, )?--[\w-]+(?: {VALUE})?)(?:\n +| +)(\S.*)$", body, re.M):
            found[re.search(r"--[\w-]+", term)[0]] = (term, text)
        return found


def help_options(text):
    """Option, its value and what it says, as Boost.Program_options prints them, over several lines."""
    found = {}
    name = None
    for line in text.splitlines():
        begun = re.match(rf"  (?:-\w \[ )?(--[\w-]+)(?: \])?(?: ({VALUE}))?(?: (\(=\S+\)))?(?: +(\S.*))?$", line)
        if begun:
            name = begun[1]
            found[name] = (" ".join(part for part in begun.group(2, 3) if part), begun[4] or "")
        elif name and re.match(r" {10,}\S", line):
            found[name] = (found[name][0], found[name][1] + " " + line)
        else:
            name = None
    return {option: (value, words(says)) for option, (value, says) in found.items()}


def commands_of(program):
    """Name and argument of each command, as the overview of --help lists them."""
    listed = re.search(r"^Commands:\n((?:  .*\n)+)", printed(program, "--help"), re.M)[1]
    return [(line[2:].split("  ")[0].strip(), words(line[2:].split("  ", 1)[1])) for line in listed.splitlines()]


def split_name(program, shown):
    """ "service add ID" → (["service", "add"], "service add ID")."""
    return [word for word in shown.split() if re.fullmatch(r"[a-z-]+", word) and "|" not in word], shown


def same_options(shown, told):
    assert set(shown) == set(told)
    for name, (value, says) in shown.items():
        term, text = told[name]
        assert plain(says) == plain(text), name
        bare = re.sub(r" \(=.*", "", value)
        assert bare in term, (name, term)
        for default in re.findall(r"\(=(.*)\)", value):
            assert f"Default: {default}." in text, name


def test_the_parser_of_this_test_reads_help():
    shown = help_options("  --config FILE (=/etc/x) where it \n                 is\n  --flag           says so\n  -h [ --help ]    help\n\nExample:\n  skmsctl --flag\n")
    assert shown == {"--config": ("FILE (=/etc/x)", "where it is"), "--flag": ("", "says so"), "--help": ("", "help")}


@pytest.mark.parametrize("program", ["skmsctl", "skmc"])
def test_page_and_help_have_the_same_commands_options_and_words(program):
    page = Page(program)
    listed = commands_of(program)
    assert len(listed) > 5
    full_names = []
    for shown, summary in listed:
        name, _ = split_name(program, shown)
        text = printed(program, *name, "--help")
        [heading] = [one for one in page.commands if one.split()[: len(name)] == name]
        full_names.append(heading)
        body = page.commands[heading]
        assert summary in text and summary in words(body), name
        common = help_options("".join(re.findall(r"^Common options:\n(?:  .*\n)+", text, re.M)))
        own = {option: told for option, told in help_options(text).items() if option not in common and option != "--help"}
        same_options(own, page.options(body))
        example = re.search(r"Example:\n  (.*)", text)
        if example:
            assert words(example[1]) in words(body), name
    assert full_names == list(page.commands), "the page has another command, or another order"


@pytest.mark.parametrize("program", PAGES)
def test_page_and_help_have_the_same_common_options_and_exit_codes(program):
    page = Page(program)
    text = printed(program, "--help")
    shown = help_options(text) if program != "skmc" else help_options(printed("skmc", "manual", "--help"))
    if program == "skmsctl":
        assert "--version" in shown and "--version" in page.sections["SYNOPSIS"]
        del shown["--version"]
    same_options(shown, page.options(page.sections["OPTIONS"]))
    codes = re.findall(r"^  (\d)  (.*)$", text[text.index("Exit codes:"):], re.M)
    told = re.findall(r"^ +(\d) +(.*)$", page.sections["EXIT STATUS"], re.M)
    assert [(code, plain(says)) for code, says in codes] == [(code, plain(says)) for code, says in told] and len(codes) >= 6


@pytest.mark.parametrize(("program", "section"), PAGES.items())
def test_the_page_reads_well(program, section):
    page = MADE / f"{program}.{section}"
    assert page.read_text() == manual_of(program)
    linted = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True, check=False).stdout.splitlines()
    assert [line for line in linted if "missing date" not in line] == []
    sections = Page(program).sections
    for wanted in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"):
        assert sections[wanted].strip(), wanted
    assert {f"{other}({number})" for other, number in PAGES.items() if other != program} <= set(re.findall(r"[\w-]+\(\d\)", sections["SEE ALSO"]))


@pytest.mark.parametrize("program", PAGES)
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_that_is_installed_is_the_one_that_is_printed(program, shell):
    script = completion_of(program, shell)
    assert (MADE / f"{program}.{shell}").read_text() == script
    assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


def test_another_shell_is_refused_in_words():
    for command in (["skmsctl", "completion", "fish"], ["skmc", "completion", "fish"], ["skmsd", "--completion", "fish"]):
        done = subprocess.run([BIN / command[0], *command[1:]], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and done.stdout == "" and "bash and zsh" in done.stderr


OFFERS = [
    ("skmsctl ser", {"service"}),
    ("skmsctl service ", {"add", "set", "list", "show", "remove"}),
    ("skmsctl service add x --gen", {"--generate-on-request"}),
    ("skmsctl service add x --delivery ", {"wrapped", "tls"}),
    ("skmsctl service add x --profile aes", {"aes-128", "aes-256"}),
    ("skmsctl --output json key ro", {"rotate"}),
    ("skmsctl completion ", {"bash", "zsh"}),
    ("skmsctl init --con", {"--config"}),
    ("skmsctl init --config a_", {"a_file", "a_folder"}),
    ("skmc di", {"discover"}),
    ("skmc get --form", {"--format"}),
    ("skmc get --url x --format ", {"raw", "hex", "base64url", "pem"}),
    ("skmc get --ca a_", {"a_file", "a_folder"}),
    ("skmc manual --", {"--help"}),
    ("skmsd --ch", {"--check-config"}),
    ("skmsd --completion ", {"bash", "zsh"}),
    ("skmsd --config a_", {"a_file", "a_folder"}),
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a_file").touch()
    (tmp_path / "a_folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(("line", "offered"), OFFERS)
def test_bash_offers_what_fits(line, offered, folder):
    program = line.split()[0]
    (folder / "script").write_text(completion_of(program, "bash"))
    asked = line.split() + ([""] if line.endswith(" ") else [])
    quoted = " ".join(f"'{word}'" for word in asked)
    ask = f"set -u; source ./script; COMP_WORDS=({quoted}); COMP_CWORD={len(asked) - 1}; _{program}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, cwd=folder)
    assert set(done.stdout.split()) == offered, done.stderr


# What compadd would add is written to a file; the key ^T asks for what stands on the line.
ZSH = """
PS1= PS2= RPS1=
setopt no_beep
fpath=($PWD/functions $fpath)
autoload -Uz compinit && compinit -u -d $PWD/dump
compadd() {
  local -a hits
  if [[ "$*" != *(#b)-[OAD]* ]]; then builtin compadd -O hits "$@"; print -rl -- $hits >>$PWD/offers; fi
  builtin compadd "$@"
}
ask() { zle complete-word; print -r -- "-- end" >>$PWD/offers; BUFFER=; print -n "@asked@" >/dev/tty }
zle -N ask
bindkey '^T' ask
print "@ready@"
"""


class Zsh:
    """An interactive zsh at a terminal of its own, with the three scripts in its function path."""

    def __init__(self, folder):
        self.folder = folder
        functions = folder / "functions"
        functions.mkdir()
        for program in PAGES:
            (functions / f"_{program}").write_text(completion_of(program, "zsh"))
        (folder / "setup").write_text(ZSH)
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe("zsh", ["zsh", "-f", "-i", "-o", "extended_glob"], {**os.environ, "TERM": "dumb", "HOME": str(folder)})
        self.say("source ./setup\n")
        self.wait_for("@ready@\r")

    def say(self, text):
        os.write(self.terminal, text.encode())

    def wait_for(self, text):
        heard = ""
        while text not in heard:
            assert select.select([self.terminal], [], [], 30)[0], f"zsh says no '{text}': {heard}"
            heard += os.read(self.terminal, 65536).decode(errors="replace")

    def offers(self, line):
        self.say(line + "\x14")
        self.wait_for("@asked@")
        return {offer.rstrip("/ ") for offer in (self.folder / "offers").read_text().split("-- end")[0].split("\n") if offer}

    def end(self):
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


@pytest.mark.parametrize(("line", "offered"), OFFERS)
def test_zsh_offers_what_fits(line, offered, folder):
    zsh = Zsh(folder)
    try:
        assert zsh.offers(line) == offered
    finally:
        zsh.end()


def test_zsh_completes_every_command_and_its_options(folder):
    zsh = Zsh(folder)
    try:
        assert zsh.offers("skmsctl ") == {shown.split()[0] for shown, _ in commands_of("skmsctl")}
    finally:
        zsh.end()

"""What `router --help` and `router COMMAND --help` say, taken apart.

Those texts are compared with the parser by the program's own tests, so that what is made of them (the man page,
completions) cannot tell other options than the program takes.
"""

import re
import subprocess
from dataclasses import dataclass, field


@dataclass
class Option:
    short: str  # "c", or ""
    name: str  # "config"
    value: str  # "FILE", or "" for a switch
    text: str

    def words(self):
        """The values that it takes, if the text begins with them: `text or json, instead of ...`."""
        match = re.match(r"[a-z]+(?:, [a-z]+)* or [a-z]+(?=$|[,;])", self.text)
        return re.split(r", | or ", match[0]) if match and self.value else []


@dataclass
class Command:
    name: str
    summary: str
    usage: list = field(default_factory=list)
    options: list = field(default_factory=list)
    before: list = field(default_factory=list)  # paragraphs before and after the usage
    after: list = field(default_factory=list)

    def actions(self):
        """Words that follow the command: `show` and `set` of `checkpoint`."""
        found = (re.match(rf"router {self.name} ([a-z][a-z-]*)", line) for line in self.usage)
        return [match[1] for match in found if match]

    def takes_file(self):
        """A file stands alone in the usage, not as the value of an option: `router convert OLD`."""
        return any(re.search(r"(?<!-c)(?<!--data) (FILE|OLD)\b", line) for line in self.usage)


@dataclass
class Help:
    summary: str
    version: str
    commands: list
    options: list
    notes: list


def read(program):
    """Asks the program."""
    main = blocks(ask(program, "--help"))
    listed = dict(rows(lines) for lines in entries(section(main, "Commands:")))
    commands = [command(name, text, blocks(ask(program, name, "--help"))) for name, text in listed.items()]
    options = [option(lines) for block in main for lines in entries(block) if lines[0].lstrip().startswith("-")]
    notes = [" ".join(block) for block in main[1:] if not block[0].startswith(("Usage:", "Commands:", "Options:", "As "))]
    version = ask(program, "--version").split()[1]
    if not commands or not options:
        raise SystemExit(f"the help of {program} has no commands or no options")
    return Help(" ".join(main[0]), version, commands, options, notes)


def ask(program, *arguments):
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True, env={}).stdout


def blocks(text):
    """Paragraphs, each a list of lines."""
    return [block.splitlines() for block in re.split(r"\n\n+", text.strip("\n"))]


def section(paragraphs, title):
    return next((block[1:] for block in paragraphs if block[0] == title), [])


def entries(lines):
    """Indented entries, each with its continuation lines, which are indented further."""
    found = []
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if indent > 12 and found:
            found[-1].append(line)
        elif indent >= 2:
            found.append([line])
    return found


def rows(lines):
    """`NAME  text` and what follows, as a pair."""
    head, _, text = lines[0].strip().partition("  ")
    return head, " ".join([text.strip(), *(line.strip() for line in lines[1:])])


def option(lines):
    head, text = rows(lines)
    match = re.fullmatch(r"(?:-(\w), )?--([\w-]+)(?: (\S+))?", head)
    if not match:
        raise SystemExit(f"this line of the help is not understood: {lines[0]}")
    return Option(match[1] or "", match[2], match[3] or "", text)


def command(name, summary, paragraphs):
    result = Command(name, summary)
    place = result.before
    for block in paragraphs:
        if block[0].startswith("Usage: "):
            result.usage = [line.removeprefix("Usage: ").strip() for line in block]
            place = result.after
        elif block[0] == "Options:":
            result.options = [option(lines) for lines in entries(block[1:])]
        else:
            place.append(" ".join(line.strip() for line in block))
    if not result.usage:
        raise SystemExit(f"the help of {name} has no usage")
    return result

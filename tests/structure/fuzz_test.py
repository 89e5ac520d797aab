#!/usr/bin/env python3
"""Every parser of bytes from outside has a fuzz target, and every fuzz target has a corpus.

A parser is a function in a header that takes a text (std::string_view, or a std::string that is no file's path) or a
message and may refuse it: it returns a Status, Result<…> or std::optional<…>, and its name says that it reads. It must be
called in a tests/fuzz/*_fuzz.cc, with the name of its class before it where it has one. What is private in its class is
reached by what is not.
"""

import re

from tree import ROOT, finish, text_of, tracked_files

NAME = r'(?:Parse|From|ListFrom|Read|Decode|Check|Peek|Own|Explain)\w*|\w+(?:Decode|Label)'
DECLARATION = re.compile(
    r'^(?P<static> *(?:static )?)(?:inline )?(?:Status|(?:Result|std::optional)<[^;{}()=]*>) (?P<name>' + NAME + r')\('
    r'(?P<parameters>[^;{}]*?)\)[\w ]*[;{]', re.MULTILINE)
BYTES = re.compile(r'(?<!initializer_list<)std::string_view|const std::string& (?!path\b|data_dir\b)\w|grpc::ByteBuffer|'
                   r'\b(?:X509|JWT|WIT)\w*Response\b')
CLASS = re.compile(r'^(?:class|struct) (\w+)[^;()]*\{', re.MULTILINE)
ACCESS = re.compile(r'^ *(public|protected|private):$', re.MULTILINE)
COMMENT = re.compile(r'//[^\n]*')
TARGET = re.compile(r'^lanyard_fuzz_target\((\w+)', re.MULTILINE)
MIN_SEEDS = 4

# What looks like a parser and is none, each with the reason.
EXEMPT = {
    'ExplainFault': 'the text is searched for words and shown by Printable; whatever it is, the answer is an error',
    'ReadFd': 'the text names the file for messages; the bytes are not looked into',
    'ReadSpiffeIdOption': 'SpiffeId::Parse, or nothing where the text is empty',
}


def parsers(path):
    """(line, name with its class) of every parser that the header declares."""
    text = COMMENT.sub(lambda comment: ' ' * len(comment[0]), text_of(path) or '')
    classes = [(match.start(), match[1]) for match in CLASS.finditer(text)]
    for match in DECLARATION.finditer(text):
        if not BYTES.search(match['parameters']):
            continue
        name = match['name']
        if match['static']:  # indented: a member of the class that began last
            begin, known = [one for one in classes if one[0] < match.start()][-1]
            name = known + '::' + name
            if ['', *ACCESS.findall(text, begin, match.start())][-1] == 'private':
                continue
        yield text.count('\n', 0, match.start('name')) + 1, name


def is_called(name, code):
    return re.search(r'(?<!\w)' + re.escape(name) + r'\(', code) is not None


def check_parsers(files, problems):
    code = '\n'.join(COMMENT.sub('', text_of(path) or '') for path in files
                     if str(path).startswith('tests/fuzz/') and path.name.endswith('_fuzz.cc'))
    found, exempt = set(), dict(EXEMPT)
    for path in files:
        if path.suffix != '.h' or str(path).startswith('tests/'):
            continue
        for line, name in parsers(path):
            found.add(name)
            exempt.pop(name, None)
            if name not in EXEMPT and not is_called(name, code):
                problems.append(f'{path}:{line}: {name} reads what comes from outside, and no tests/fuzz/*_fuzz.cc calls '
                                f'it; add it to a target, or say in fuzz_test.py why it needs none')
    problems.extend(f'fuzz_test.py: there is no parser {name} any more, remove the exemption' for name in exempt)
    return len(found)


def check_targets(files, problems):
    sources = {path.stem for path in files if str(path.parent) == 'tests/fuzz' and path.name.endswith('_fuzz.cc')}
    built = set(TARGET.findall(text_of('tests/fuzz/CMakeLists.txt')))
    seeds = [path.parts[3] for path in files if str(path).startswith('tests/fuzz/corpus/')]
    problems.extend(f'tests/fuzz/{name}.cc: not in tests/fuzz/CMakeLists.txt' for name in sorted(sources - built))
    problems.extend(f'tests/fuzz/corpus/{name}: there is no such target' for name in sorted(set(seeds) - sources))
    problems.extend(f'tests/fuzz/{name}.cc: {seeds.count(name)} seeds in its corpus, at least {MIN_SEEDS} are needed'
                    for name in sorted(sources) if seeds.count(name) < MIN_SEEDS)
    problems.extend(f'{path}: {size} bytes, a seed has at most 16384' for path in files
                    if str(path).startswith('tests/fuzz/corpus/') and (size := (ROOT / path).stat().st_size) > 16384)
    return len(sources)


def main():
    files, problems = tracked_files(), []
    checked = check_parsers(files, problems)
    checked += check_targets(files, problems)
    finish(problems, checked, 'parsers and targets')


if __name__ == '__main__':
    main()

"""Hooks of the site: pages that stand elsewhere in the repository join it, under links that work in both."""

import os
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]


def outside() -> dict[str, str]:
    """{path in the repository: path in the site} of the pages outside `docs/`."""
    pages = {'README.md': 'index.md', 'CONTRIBUTING.md': 'CONTRIBUTING.md', 'CHANGELOG.md': 'CHANGELOG.md'}
    for page in sorted(ROOT.glob('configs/*/README.md')):
        pages[page.relative_to(ROOT).as_posix()] = f'configs/{page.parent.name}.md'
    return pages


def on_files(files, config):
    for source, target in outside().items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text(encoding='utf-8')))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links by the repository's paths become the site's; what is no page of the site stays as text."""
    places = {site: source for source, site in outside().items()}
    here = places.get(page.file.src_uri, f'docs/{page.file.src_uri}')
    sites = outside()

    def link(match):
        text, target = match.group(1), match.group(2)
        if re.match(r'[a-z]+:|#', target):
            return match.group(0)
        path, mark, anchor = target.partition('#')
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
        site = sites.get(path) or (path.removeprefix('docs/') if path.startswith('docs/') else None)
        if site is None:
            if not (ROOT / path).exists():
                raise FileNotFoundError(f'{here}: {target}')
            return text
        return f'[{text}]({os.path.relpath(site, posixpath.dirname(page.file.src_uri) or ".")}{mark}{anchor})'

    return re.sub(r'\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)', link, markdown)

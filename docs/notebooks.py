"""A hook of MkDocs: notebooks are executed while the site is built, and become pages with what they print and draw.

They are committed without outputs. A cell that fails, fails the build. What cells write to stderr, such as progress
bars, is left out, and so are all outputs of cells with the tag ``hide-output``.
"""

import tempfile
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient
from nbconvert import MarkdownExporter


def _page(source: File) -> tuple[str, dict[str, bytes]]:
    """An executed notebook as Markdown, and its pictures by their names."""
    notebook, name = nbformat.reads(source.content_string, as_version=4), Path(source.src_uri)
    with tempfile.TemporaryDirectory() as folder:  # cells may write files
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            hidden = "hide-output" in cell.metadata.get("tags", [])
            cell.outputs = [out for out in cell.outputs if not hidden and out.get("name") != "stderr"]
    text, resources = MarkdownExporter().from_notebook_node(notebook, {"unique_key": name.stem})
    return f'{text}\n<a href="{name.name}" download>This page as a notebook</a>\n', resources["outputs"]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source in [file for file in files if file.src_uri.endswith(".ipynb")]:
        text, pictures = _page(source)
        files.append(File.generated(config, str(Path(source.src_uri).with_suffix(".md")), content=text))
        for name, picture in pictures.items():
            files.append(File.generated(config, str(Path(source.src_uri).with_name(name)), content=picture))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return markdown.replace(".ipynb)", ".md)")  # links of pages name the notebook, which a repository shows

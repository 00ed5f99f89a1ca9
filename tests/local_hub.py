"""A hub of our own on 127.0.0.1 that answers as huggingface.co's ``resolve`` addresses do."""
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Dict, List, Optional, Tuple


class LocalHub:
    """Serves folders as hub repositories and remembers what was asked for.

    Attributes:
        repositories: ``(owner/name, revision)`` -> folder.
        requests: ``(method, owner/name, revision, file)`` of every request, in order.
        failures: How many of the next requests are answered with "service unavailable".
    """

    def __init__(self) -> None:
        self.repositories: Dict[Tuple[str, str], Path] = {}
        self.requests: List[Tuple[str, str, str, str]] = []
        self.failures = 0
        self._server: Optional[ThreadingHTTPServer] = ThreadingHTTPServer(('127.0.0.1', 0), _handler(self))
        self.endpoint = f'http://127.0.0.1:{self._server.server_port}'
        Thread(target=self._server.serve_forever, kwargs=dict(poll_interval=0.02), daemon=True).start()

    def add(self, repo_id: str, folder: Path, revision: str = 'main') -> None:
        """Serve a folder as a repository."""
        self.repositories[repo_id, revision] = folder

    def commit(self, repo_id: str, revision: str) -> str:
        """Hash of the commit that a branch or tag names."""
        return hashlib.sha1(f'{repo_id}@{revision}'.encode()).hexdigest()

    def downloads(self) -> List[str]:
        """Names of the files that were downloaded, sorted; existence checks are not among them."""
        return sorted(file for method, _, _, file in self.requests if method == 'GET')

    def stop(self) -> None:
        """Go offline: further connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _handler(hub: LocalHub) -> type:

    class Handler(BaseHTTPRequestHandler):
        """Answers HEAD and GET of ``/owner/name/resolve/revision/file``, a connection each."""

        def do_HEAD(self) -> None:  # noqa: N802
            self._answer(with_body=False)

        def do_GET(self) -> None:  # noqa: N802
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            repo_id, rest = self.path.lstrip('/').split('/resolve/')
            asked, file = rest.split('?')[0].split('/', 1)
            if hub.failures:
                hub.failures -= 1
                self._send(503, b'', with_body, error='Unavailable')
                return
            hub.requests.append((self.command, repo_id, asked, file))
            commits = {hub.commit(*known): known[1] for known in hub.repositories if known[0] == repo_id}
            revision = commits.get(asked, asked)
            path = hub.repositories.get((repo_id, revision), Path('/nowhere')) / file
            if path.is_file():
                self._send(200, path.read_bytes(), with_body, hub.commit(repo_id, revision))
            elif (repo_id, revision) in hub.repositories:
                self._send(404, b'', with_body, hub.commit(repo_id, revision), error='EntryNotFound')
            elif any(known == repo_id for known, _ in hub.repositories):
                self._send(404, b'', with_body, error='RevisionNotFound')
            else:  # as huggingface.co answers those who are not logged in
                self._send(401, b'', with_body, error='RepoNotFound')

        def _send(self, status: int, body: bytes, with_body: bool, commit: str = '', error: str = '') -> None:
            self.send_response(status)
            self.send_header('Content-Length', str(len(body)))
            if commit:
                self.send_header('X-Repo-Commit', commit)
            if error:
                self.send_header('X-Error-Code', error)
                self.send_header('X-Error-Message', error)
            else:
                self.send_header('ETag', f'"{hashlib.sha1(body).hexdigest()}"')
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *args) -> None:
            """Keep quiet."""

    return Handler

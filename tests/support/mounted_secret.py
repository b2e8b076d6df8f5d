"""A directory as Kubernetes mounts a Secret or ConfigMap."""

import os
import pathlib


class MountedSecret:
    """Each file is a link through "..data", which links to a directory with one version of all the
    files and is replaced in one go."""

    def __init__(self, directory, **files):
        self._directory = pathlib.Path(directory)
        self._directory.mkdir(parents=True)
        self._versions = 0
        self.publish(**files)

    def publish(self, **files):
        """`files`: what each holds, by its name with "_" for "."; others keep what they held."""
        self._versions += 1
        version = self._directory / f"..version_{self._versions}"
        version.mkdir()
        data = self._directory / "..data"
        old = {path.name: path.read_bytes() for path in data.iterdir()} if data.exists() else {}
        new = {name.replace("_", "."): content for name, content in files.items()}
        for name, content in {**old, **new}.items():
            content = content.encode() if isinstance(content, str) else content
            (version / name).write_bytes(content)
            if not (self._directory / name).is_symlink():
                (self._directory / name).symlink_to(f"..data/{name}")
        fresh = self._directory / "..data_tmp"
        fresh.symlink_to(version.name)
        os.replace(fresh, data)

    def path(self, name):
        return str(self._directory / name)

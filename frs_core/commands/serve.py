"""`frs serve`: a policy behind a port, for cockpits on other machines and for openpi's own clients.

Example: `frs serve --policy pi05 --path weights/pi05_droid` on the GPU machine, `ssh -L 8000:127.0.0.1:8000 gpu-box` on the
robot's laptop, then the cockpit with `--policy remote`. Nothing but loopback is ever open that way.
"""

import copy
import logging
import os
import time
from pathlib import Path

from frs_core.commands.printing import console, mark
from frs_core.errors import ConfigError
from frs_core.policies import DEFAULT, NamedPolicy, PolicyName, PolicyOptions
from frs_core.runtime.address import shown
from frs_core.runtime.bounds import Port, Size
from frs_core.runtime.foreign import read_text, said
from frs_core.runtime.registry import with_flags
from frs_core.serving.server import PolicyService, build_server
from frs_core.serving.websocket_server import ServerSettings, is_loopback, place, require_port
from frs_core.steering.camera_pairing import pairing_text

TOKEN_VARIABLE = "FRS_TOKEN"


def serve(
    *,
    policy: PolicyName = DEFAULT,
    policy_options: PolicyOptions = None,
    path: str | None = None,
    device: str | None = None,
    preset: str | None = None,
    cameras: str | None = None,
    horizon: Size | None = None,
    norm_stats: Path | None = None,
    tokenizer: Path | None = None,
    action_space: str = "",
    host: str = "127.0.0.1",
    port: Port = 8000,
    token_file: Path | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    message_mb: Size = 32,
    verbose: bool = False,
) -> int:
    """Serve a policy to cockpits and to openpi clients until Ctrl+C.

    Only this machine can reach it unless --host says otherwise; then a token is needed, from --token-file or the
    environment variable FRS_TOKEN. Health: GET /healthz. Format and security: docs/serving.md.

    Args:
        policy: The generalist.
        policy_options: Options of the policy: NAME VALUE ….
        path: Its weights; default the policy's own. This option and those down to --tokenizer can also be given in --policy-options.
        device: Device, such as cuda or cpu; default the policy's own choice.
        preset: Meaning of a checkpoint's actions, if its folder does not state it (pi05_droid, pi05_libero, ...).
        cameras: Which camera fills which image input of a checkpoint, if the names do not show it, such as
            base_0_rgb=left,left_wrist_0_rgb=wrist.
        horizon: Rows of a chunk, for a checkpoint that changed its preset's or does not state them.
        norm_stats: A checkpoint's statistics file, if it is elsewhere.
        tokenizer: A checkpoint's SentencePiece file, if it is elsewhere.
        action_space: joint_velocity or joint_position: convert the tool deltas of a generalist to joints, for openpi's clients
            and cockpits alike; default its own.
        host: Address to listen on; 0.0.0.0 is every network this machine is in.
        port: Port to listen on; 0 takes any free one.
        token_file: File whose first line is the token clients must send.
        tls_cert: PEM file with the server's certificate; with --tls-key the server speaks wss.
        tls_key: PEM file with the certificate's key.
        message_mb: Largest message a client may send, MiB.
        verbose: Log connections and failed requests, with the stacks of errors.
    """
    page = console(is_stderr=True)
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(message)s", has_stacks=verbose))
    if not verbose:
        logging.getLogger("frs.serving").setLevel(logging.WARNING)
        logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    settings = ServerSettings(
        host=host,
        port=port,
        token=read_token(token_file),
        tls_cert=tls_cert,
        tls_key=tls_key,
        message_bytes=message_mb * 2**20,
    )
    require_port(settings)
    flags: dict[str, str | int | None] = {"path": path, "device": device, "preset": preset, "cameras": cameras}
    flags |= {"horizon": horizon, "norm_stats": _text(norm_stats), "tokenizer": _text(tokenizer)}
    loaded = NamedPolicy(policy, with_flags(policy_options, flags), action_space).load()
    try:
        started = time.monotonic()
        PolicyService(loaded).warm_up()
        spec = loaded.spec
        page.print(
            mark(spec.name, "bold"),
            f"· {spec.horizon} x {spec.width} · {spec.action_space.kind.value} · "
            f"cameras {pairing_text(spec.camera_pairing) or ', '.join(spec.cameras)} · "
            f"warmed up in {time.monotonic() - started:.1f} s",
        )
        server = build_server(loaded, settings)
        server.run(lambda: page.print(describe_address(settings, server.port)))
    except KeyboardInterrupt:
        page.print("Stopped.")
    finally:
        loaded.close()
    return 0


class OneLine(logging.Formatter):
    """Formats a record as one line: what a client does, says or breaks off is no fault of the server that needs a traceback.

    Args:
        form: format of a line.
        has_stacks: keep the stacks of exceptions, in lines of their own.
    """

    def __init__(self, form: str, *, has_stacks: bool = False) -> None:
        super().__init__(form)
        self._has_stacks = has_stacks

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, an exception as its last words, addresses without what is secret in them."""
        if self._has_stacks:
            return "\n".join(shown(line) for line in super().format(record).splitlines())
        plain = copy.copy(record)
        plain.exc_info = plain.exc_text = plain.stack_info = None
        line = super().format(plain)
        if record.exc_info and (error := record.exc_info[1]) is not None:
            line += f": {type(error).__name__}: {error}"
        return shown(" ".join(line.split()))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def read_token(token_file: Path | None) -> str | None:
    """Return the token of a file's first line, else of FRS_TOKEN, else None.

    Raises:
        ConfigError: the file cannot be read or is empty.
    """
    if token_file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        lines = read_text(token_file).splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"Token file {token_file} cannot be read: {said(error)}. Make one readable by you alone."
        ) from error
    if not lines or not lines[0].strip():
        raise ConfigError(f"Token file {token_file} is empty. Fill it with `openssl rand -hex 16 > {token_file}`.")
    return lines[0].strip()


def describe_address(settings: ServerSettings, port: int) -> str:
    """Return where clients find the server, and what to do about encryption if it is needed."""
    scheme = "ws" if settings.tls_cert is None else "wss"
    lines = [f"Serving on {scheme}://{place(settings.host, port)}" + (" · token required" if settings.token else "")]
    if not is_loopback(settings.host) and settings.tls_cert is None:
        lines += [
            "Warning: token, images and actions cross the network unencrypted. Either",
            f"  listen on 127.0.0.1 and tunnel from the client: ssh -L {port}:127.0.0.1:{port} THIS_MACHINE, or",
            "  make a certificate and pass it with --tls-cert cert.pem --tls-key key.pem:",
            "  openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout key.pem -out cert.pem \\",
            "    -subj /CN=THIS_MACHINE -addext subjectAltName=DNS:THIS_MACHINE",
            "  Clients then use wss:// and trust cert.pem (option tls_ca).",
        ]
    return "\n".join(lines)

"""The catalogue, and downloads from a server on this machine that plays each host."""

import errno
import hashlib
import io
import os
import re
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from mmlight.cli import main
from mmlight.errors import InputError
from mmlight.registry import MODELS
from mmlight.runtime.config import find_config, shipped_configs
from mmlight.weights import download
from mmlight.weights.catalogue import catalogue, find, for_config

BODY = bytes(range(256)) * 4096  # 1 MiB


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        state = self.server.state
        state.paths.append(self.path)
        state.ranges.append(self.headers.get('Range'))
        if self.path.endswith('/moved.pth'):
            self.send_response(302)
            self.send_header('Location', self.path.replace('moved', 'file'))
            self.end_headers()
            return
        if not self.path.endswith('/file.pth'):
            self.send_error(404)
            return
        start = int(self.headers['Range'][6:-1]) if self.headers.get('Range') else 0
        body = state.body[start:]
        self.send_response(206 if start else 200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body[: state.cut] if state.cut else body)
        time.sleep(state.stall)

    def log_message(self, *_):
        pass


@pytest.fixture
def host(monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    for name in ('http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY', 'no_proxy', 'NO_PROXY'):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.state = SimpleNamespace(
        body=BODY, cut=0, stall=0, paths=[], ranges=[], url=f'http://127.0.0.1:{server.server_port}'
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def publish(path='/file.pth', url=None, name='torchvision_resnet18', body=BODY):
        server.state.body = body
        entry = replace(
            find(name), url=(url or server.state.url) + path, sha256=hashlib.sha256(body).hexdigest(), size=len(body)
        )
        monkeypatch.setitem(catalogue(), name, entry)
        return entry

    yield SimpleNamespace(state=server.state, publish=publish)
    server.shutdown()
    server.server_close()


def test_a_file_is_fetched_once_into_the_cache_that_torch_home_moves(host, tmp_path):
    host.publish()
    path = download.get('torchvision_resnet18')
    assert path == tmp_path / 'torch' / 'hub' / 'checkpoints' / 'file.pth'
    assert path.read_bytes() == BODY
    assert download.get('torchvision_resnet18') == path
    assert len(host.state.paths) == 1


def test_a_cut_download_is_not_used_and_continued(host):
    host.publish()
    host.state.cut = 300_000
    with pytest.raises(InputError, match=r'broke off, 300000 bytes are kept.*--from FILE'):
        download.get('torchvision_resnet18')
    assert not (download.cache_dir() / 'file.pth').exists()
    host.state.cut = 0
    assert download.get('torchvision_resnet18').read_bytes() == BODY
    assert host.state.ranges == [None, 'bytes=300000-']


def test_another_file_is_refused_and_leaves_nothing(host):
    host.publish()
    host.state.body = BODY[:-1] + b'x'
    with pytest.raises(InputError, match='has SHA-256'):
        download.get('torchvision_resnet18')
    assert list(download.cache_dir().iterdir()) == []


def test_404_names_the_address_and_the_way_round(host, tmp_path):
    entry = host.publish('/gone.pth')
    with pytest.raises(InputError, match=rf'{entry.url} answers 404.*--from FILE'):
        download.get('torchvision_resnet18')
    (tmp_path / 'brought').write_bytes(BODY)
    assert download.get('torchvision_resnet18', tmp_path / 'brought').read_bytes() == BODY
    (tmp_path / 'brought').write_bytes(BODY[1:])
    with pytest.raises(InputError, match='has SHA-256'):
        download.get('torchvision_resnet18', tmp_path / 'brought')


def test_redirects_are_followed(host):
    host.publish('/moved.pth')
    assert download.get('torchvision_resnet18').read_bytes() == BODY
    assert host.state.paths == ['/moved.pth', '/file.pth']


def test_a_proxy_is_asked(host, monkeypatch):
    monkeypatch.setenv('http_proxy', host.state.url)
    host.publish(url='http://weights.invalid')
    assert download.get('torchvision_resnet18').read_bytes() == BODY
    assert host.state.paths == ['http://weights.invalid/file.pth']


def test_no_network(host, capsys):
    host.publish(url='http://weights.invalid')
    assert main(['weights', 'get', 'torchvision_resnet18']) == 2
    error = capsys.readouterr().err
    assert 'http://weights.invalid/file.pth cannot be reached' in error
    assert '--from FILE' in error


def test_no_room(host, monkeypatch):
    host.publish()
    monkeypatch.setattr(download.shutil, 'disk_usage', lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r'1048576 bytes, but .* has room for 1000'):
        download.get('torchvision_resnet18')


def test_unknown_and_unusable_names():
    with pytest.raises(InputError, match='did you mean efficientdet_lite0'):
        download.get('efficientdet_light0')
    with pytest.raises(InputError, match='cannot be used: needs TensorFlow'):
        download.get('tpu_spinenet_49')


def test_entries_agree_with_themselves():
    for entry in catalogue().values():
        digits = re.search(r'[-_]([0-9a-f]{8,10})\.pth$', entry.url)
        # that wheel's file is not the one whose digits it is named by
        assert not digits or entry.sha256.startswith(digits[1]) or entry.name == 'efficientnet_lite0', entry.name
        assert entry.converter is None or entry.converter in download.CONVERTERS
        assert entry.use in ('model', 'backbone', 'package', 'none')
        assert entry.use in ('model', 'backbone') or entry.reason
        assert entry.checked
        assert (entry.use == 'model') == bool(entry.configs)


def test_short_names_mean_the_config_of_the_weights():
    for entry in (entry for entry in catalogue().values() if entry.use == 'model'):
        assert for_config(find_config(entry.configs[0].partition('_8xb16')[0]).stem).configs == entry.configs
    assert find_config('efficientdet_d0').stem == 'efficientdet_d0_8xb16-crop512-300e_coco'


def test_initial_weights_of_configs_need_no_package():
    for path in shipped_configs().values():
        assert 'torchvision://' not in path.read_text(), path


def test_an_init_cfg_names_an_entry(host, torchvision_models):
    theirs = torchvision_models.shufflenet_v2_x0_5()
    file = io.BytesIO()
    torch.save(theirs.state_dict(), file)
    host.publish(name='torchvision_shufflenet_v2_x0.5', body=file.getvalue())
    init = dict(type='Pretrained', checkpoint='mmlight://torchvision_shufflenet_v2_x0.5')
    net = MODELS.build(dict(type='mmlight.ShuffleNetV2', widen_factor=0.5, init_cfg=init))
    net.init_weights()
    assert torch.equal(net.layers[1][0].branch1[0].conv.weight, theirs.stage3[0].branch1[0].weight)
    net.init_cfg['checkpoint'], net._is_init = 'mmlight://torchvision_resnet52', False
    with pytest.raises(InputError, match='did you mean torchvision_resnet50'):
        net.init_weights()


def test_wheel_entries_say_where_the_file_is(host, monkeypatch):
    monkeypatch.setattr(download, 'find_spec', lambda _: None)
    with pytest.raises(InputError, match='pip install'):
        download.get('efficientnet_lite1')


def test_wheel_entries_are_found_where_they_are_installed(host, monkeypatch, tmp_path):
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models' / 'file.pth').write_bytes(BODY)
    monkeypatch.setattr(download, 'find_spec', lambda _: SimpleNamespace(origin=str(tmp_path / '__init__.py')))
    monkeypatch.setattr(download, '_convert', lambda entry, original, target: target.write_bytes(original.read_bytes()))
    host.publish(name='efficientnet_lite1')
    assert download.get('efficientnet_lite1').read_bytes() == BODY
    assert host.state.paths == []


def test_a_stalled_server_is_left_and_what_came_is_kept(host, monkeypatch):
    monkeypatch.setattr(download, 'PATIENCE', 0.5)
    host.publish()
    host.state.cut, host.state.stall = 300_000, 2
    with pytest.raises(InputError, match='broke off, 300000 bytes are kept'):
        download.get('torchvision_resnet18')
    assert [file.name for file in download.cache_dir().iterdir()] == ['file.pth.part']


@pytest.mark.parametrize('stall', [0, 2], ids=['cut', 'stalled'])
def test_an_address_in_a_config_that_breaks_off_is_continued(host, monkeypatch, stall):
    monkeypatch.setattr(download, 'PATIENCE', 0.5)
    content, other = io.BytesIO(), io.BytesIO()
    torch.save({'w': torch.ones(100_000)}, content)
    torch.save({'w': torch.zeros(100_000)}, other)
    host.publish(body=content.getvalue())
    host.state.cut, host.state.stall = 300_000, stall
    with pytest.raises(InputError, match=r'checkpoint: http.*/file\.pth broke off, 300000 bytes are kept'):
        CheckpointLoader.load_checkpoint(f'{host.state.url}/file.pth')
    host.state.cut = host.state.stall = 0
    assert CheckpointLoader.load_checkpoint(f'{host.state.url}/file.pth')['w'].sum() == 100_000
    assert host.state.ranges[-1] == 'bytes=300000-'
    # what was kept of another file is not mixed in
    kept = (download.cache_dir() / 'file.pth').rename(download.cache_dir() / 'file.pth.part')
    os.truncate(kept, 300_000)
    host.publish(body=other.getvalue())
    with pytest.raises(InputError, match='damaged'):
        CheckpointLoader.load_checkpoint(f'{host.state.url}/file.pth')
    assert list(download.cache_dir().iterdir()) == []


def test_a_disk_that_fills_up_meanwhile(host, monkeypatch):
    host.publish()

    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(download, '_receive', full)
    with pytest.raises(InputError, match=r'torchvision_resnet18: .*No space left on device'):
        download.get('torchvision_resnet18')
    assert not (download.cache_dir() / 'file.pth').exists()


def test_a_part_of_another_file_is_never_used(host):
    host.publish()
    download.cache_dir().mkdir(parents=True)
    part = download.cache_dir() / 'file.pth.part'
    part.write_bytes(b'x' * 1000)
    with pytest.raises(InputError, match='has SHA-256'):
        download.get('torchvision_resnet18')
    assert not part.exists()
    assert download.get('torchvision_resnet18').read_bytes() == BODY


def test_a_file_with_other_names_is_refused(host, tmp_path):
    torch.save({'a.weight': torch.ones(2)}, tmp_path / 'other.pth')
    host.publish(name='efficientdet_d0', body=(tmp_path / 'other.pth').read_bytes())
    with pytest.raises(InputError, match=r'no EfficientDet weights in a known layout: found a\.weight'):
        download.get('efficientdet_d0')


def test_a_page_instead_of_a_file_without_checksum_does_not_stay(host, monkeypatch):
    entry = host.publish(name='yaed_efficientdet_d0', body=b'<html>log in</html>')
    monkeypatch.setitem(catalogue(), entry.name, replace(entry, sha256=''))
    with pytest.raises(InputError, match='not a checkpoint, or damaged'):
        download.get(entry.name)
    assert list(download.cache_dir().iterdir()) == []


def test_an_https_proxy_is_asked(host, monkeypatch):
    monkeypatch.setenv('HTTPS_PROXY', host.state.url)
    host.publish(url='https://weights.invalid')
    with pytest.raises(
        InputError, match=r'weights\.invalid/file\.pth cannot be reached \(Tunnel connection failed: 501'
    ):
        download.get('torchvision_resnet18')  # this server has no CONNECT

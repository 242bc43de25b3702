from logging import StreamHandler

from mmengine.logging import MMLogger
from tiny_project import project

from mmlight.cli import main
from mmlight.runtime.progress import ProgressBar, make_progress, track


def test_no_bar_without_a_terminal(capfd):
    assert make_progress() is None
    assert list(track(range(3), 'x', 3)) == [0, 1, 2]
    assert capfd.readouterr() == ('', '')


def test_bar_shows_training_and_leaves_the_log_file_alone(tmp_path, capfd):
    cfg = tmp_path / 'bar.py'
    cfg.write_text(
        f"_base_ = '{project()}/det_iter.py'\ncustom_hooks = [dict(type='mmlight.ProgressBar', force=True)]\n"
    )
    options = ['train_cfg.max_iters=3', 'train_cfg.val_interval=3']
    assert (
        main(['train', str(cfg), '--no-report', '--work-dir', str(tmp_path / 'work'), '--cfg-options', *options]) == 0
    )
    shown = capfd.readouterr()
    assert 'train' in shown.err
    assert '3/3' in shown.err
    assert 'loss' in shown.err
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    assert 'Iter(train) [3/3]' in log
    assert '\x1b' not in log


def test_streams_are_given_back():
    class Runner:
        logger = MMLogger.get_instance('progress-test')

    before = [handler.stream for handler in Runner.logger.handlers if type(handler) is StreamHandler]
    hook = ProgressBar(force=True)
    hook.before_run(Runner)
    assert hook.progress is not None
    hook.close()
    assert [handler.stream for handler in Runner.logger.handlers if type(handler) is StreamHandler] == before

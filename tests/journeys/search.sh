# A pyramid searched on own data near a number of multiply-adds, and trained.
cat > pyramid.py <<'END'
_base_ = 'mmlight::nas/nas-fpn_shufflenet-v2_sample.py'
search = dict(objective=dict(_delete_=True, type='MACs', target=3.0e7, shape=(128, 128)), batch_size=4)
END
mmlight sample --out street
mmlight search pyramid.py --data street --trials 8 --backend inline
mmlight flops work_dirs/pyramid/best_0.py --shape 128 128
mmlight train work_dirs/pyramid/best_0.py --epochs 1 --work-dir run
mmlight test run/best_0.py run/epoch_1.pth

package kernels

import "alexnet/model/gpu/device"

// SoftmaxLoss computes probs = softmax(logits), both float32 of n x classes, and for each
// image the cross-entropy with its label in losses (float32) and the label's rank, from 0,
// in ranks (int32): 0 and -1 for an image without label. Of equal probabilities the lower
// class ranks first, and a NaN is ahead. If d is not 0, it gets the loss's gradient, of t,
// times control's LossScale: (probs - onehot) * LossScale, or zeros without label.
func (k *Set) SoftmaxLoss(s device.Stream, t Type, d, probs, losses, ranks, logits, control device.Ptr, n, classes int) error {
	if n < 0 || classes < 1 || n > mostBlocksX || classes > 1<<30 {
		return fault("SoftmaxLoss", "%d images, %d classes", n, classes)
	}
	if n == 0 {
		return nil
	}
	return k.launch(s, "softmax_loss_"+t.String(), device.Grid{Blocks: [3]int{n}, Threads: [3]int{blockThreads}},
		device.Args(nil).Ptr(d, probs, losses, ranks, logits, control).Int(classes))
}

package eval

import "math"

// Result is how many records of a split were recognised.
type Result struct {
	Split string `json:"split"`
	Views int    `json:"views"`
	Nets  int    `json:"nets"`
	// Images is the number of records that were measured: all of the split, but for
	// those counted in Unlabelled and Skipped.
	Images int `json:"images"`
	// Unlabelled is the number of records without a label, which only predictions
	// are made of, and Skipped that of damaged ones that were left out.
	Unlabelled int `json:"unlabelled,omitempty"`
	Skipped    int `json:"skipped,omitempty"`
	// Top1 and Top5 count the records whose label has the highest, or one of the
	// five highest, averaged probabilities. Of classes with equal probabilities the
	// one with the lower index ranks higher.
	Top1 int `json:"top1_correct"`
	Top5 int `json:"top5_correct"`
	// Loss is the mean cross-entropy, in nats, of the averaged probabilities; a
	// probability of zero counts as the smallest float32. It is 0 without labels.
	Loss float64 `json:"loss"`
}

// Top1Accuracy returns the share of images whose label ranks first, in [0, 1]. Like
// the other shares it is not a number when there are no images with labels.
func (r Result) Top1Accuracy() float64 { return float64(r.Top1) / float64(r.Images) }

// Top5Accuracy returns the share of images whose label ranks fifth or higher.
func (r Result) Top5Accuracy() float64 { return float64(r.Top5) / float64(r.Images) }

// Top1Error returns 1 - Top1Accuracy.
func (r Result) Top1Error() float64 { return float64(r.Images-r.Top1) / float64(r.Images) }

// Top5Error returns 1 - Top5Accuracy.
func (r Result) Top5Error() float64 { return float64(r.Images-r.Top5) / float64(r.Images) }

// Top1Interval returns the interval of Top1Error.
func (r Result) Top1Interval() Interval { return Wilson(r.Images-r.Top1, r.Images) }

// Top5Interval returns the interval of Top5Error.
func (r Result) Top5Interval() Interval { return Wilson(r.Images-r.Top5, r.Images) }

// count adds a record whose label has so many classes above it, and a probability.
func (r *Result) count(rank int, probability float64) {
	r.Images++
	if rank < 1 {
		r.Top1++
	}
	if rank < 5 {
		r.Top5++
	}
	r.Loss -= math.Log(max(probability, math.SmallestNonzeroFloat32)) // a sum until finish
}

// finish makes the mean of the losses.
func (r *Result) finish() {
	if r.Images > 0 {
		r.Loss /= float64(r.Images)
	}
}

// Report is all that one pass over a split tells.
type Report struct {
	// Result is that of all nets, averaged.
	Result
	// Singles are the results of the nets, each alone, in the order of the engines.
	Singles []Result
	// Classes are the results of the average by class, in the order of the labels:
	// Images, Top1, Top5 and Loss of each, the rest as in Result.
	Classes []Result
	// Confusion counts which classes were taken for which by the average.
	Confusion Confusion
	// Speed is how fast it went.
	Speed Speed
}

// Speed is how fast an evaluation went.
type Speed struct {
	// Seconds is the time that it took, from opening the stream.
	Seconds float64 `json:"seconds"`
	// ImagesPerSecond counts records, whatever the number of views and nets.
	ImagesPerSecond float64 `json:"images_per_second"`
	// WaitShare is the share of the time that the engines waited for data.
	WaitShare float64 `json:"wait_share"`
	// Made is the number of images that were made: one a record and view, and a size
	// of the nets' inputs.
	Made int64 `json:"images_made"`
	// Verdict says in words what limited it.
	Verdict string `json:"verdict"`
}

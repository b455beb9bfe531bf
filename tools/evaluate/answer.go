package main

import (
	"strings"

	"alexnet/records"
	"alexnet/train/eval"
)

// Shares are the errors of a result with their intervals: shares in [0, 1].
type Shares struct {
	Top1Accuracy float64    `json:"top1"`
	Top5Accuracy float64    `json:"top5"`
	Top1Error    float64    `json:"top1_error"`
	Top1Interval [2]float64 `json:"top1_error_interval"`
	Top5Error    float64    `json:"top5_error"`
	Top5Interval [2]float64 `json:"top5_error_interval"`
}

// sharesOf returns nil for a result without images that have labels.
func sharesOf(r eval.Result) *Shares {
	if r.Images == 0 {
		return nil
	}
	one, five := r.Top1Interval(), r.Top5Interval()
	return &Shares{r.Top1Accuracy(), r.Top5Accuracy(),
		r.Top1Error(), [2]float64{one.Low, one.High}, r.Top5Error(), [2]float64{five.Low, five.High}}
}

// answer is the JSON object. Without labels it has no shares, classes or confusion.
type answer struct {
	eval.Result
	*Shares
	Interval    string     `json:"interval"`
	Checkpoints []string   `json:"checkpoints"`
	Weights     string     `json:"weights"` // --weights
	Singles     []single   `json:"singles"`
	Classes     []classRow `json:"per_class,omitempty"`
	// Confusion has a triple a cell that is not zero: label, predicted label, images.
	Confusion   [][3]int   `json:"confusion,omitempty"`
	Confused    []confused `json:"confused,omitempty"`
	Predictions string     `json:"predictions,omitempty"`
	Report      string     `json:"report,omitempty"` // the page
	Speed       eval.Speed `json:"speed"`
}

// single is the row of a net alone.
type single struct {
	Checkpoint string `json:"checkpoint"`
	Net        string `json:"net"`
	Top1       int    `json:"top1_correct"`
	Top5       int    `json:"top5_correct"`
	*Shares
	Loss float64 `json:"loss"`
}

// classRow is the row of a class.
type classRow struct {
	Label    int    `json:"label"`
	WNID     string `json:"wnid"`
	Name     string `json:"name"`
	ILSVRCID int32  `json:"ilsvrc_id,omitempty"`
	Images   int    `json:"images"`
	*Shares
}

// confused is a pair of classes of which one was taken for the other.
type confused struct {
	Label         int    `json:"label"`
	WNID          string `json:"wnid"`
	Name          string `json:"name"`
	Predicted     int    `json:"predicted"`
	PredictedWNID string `json:"predicted_wnid"`
	PredictedName string `json:"predicted_name"`
	Images        int    `json:"images"`
	// Share is that of the images of the class.
	Share float64 `json:"share"`
}

// usualPairs is how many pairs the JSON object has where no number is given.
const usualPairs = 20

// answerOf puts together what was measured.
func answerOf(r *eval.Report, m *records.Manifest, nets, files []string, pairs int) answer {
	a := answer{Result: r.Result, Shares: sharesOf(r.Result), Interval: eval.Confidence, Checkpoints: files, Speed: r.Speed}
	for i, s := range r.Singles {
		a.Singles = append(a.Singles, single{files[i], nets[i], s.Top1, s.Top5, sharesOf(s), s.Loss})
	}
	if r.Images == 0 {
		return a
	}
	for label, c := range r.Classes {
		class := m.Classes[label]
		a.Classes = append(a.Classes, classRow{label, class.WNID, nameOf(class), class.ILSVRCID, c.Images, sharesOf(c)})
	}
	for _, cell := range r.Confusion.Cells() {
		a.Confusion = append(a.Confusion, [3]int{cell.Label, cell.Predicted, cell.Images})
	}
	for _, cell := range r.Confusion.Confused(pairs) {
		from, to := m.Classes[cell.Label], m.Classes[cell.Predicted]
		a.Confused = append(a.Confused, confused{cell.Label, from.WNID, nameOf(from), cell.Predicted, to.WNID, nameOf(to),
			cell.Images, float64(cell.Images) / float64(r.Classes[cell.Label].Images)})
	}
	return a
}

// nameOf returns the first of a class's words, or its WNID.
func nameOf(c records.Class) string {
	if name, _, _ := strings.Cut(c.Words, ","); strings.TrimSpace(name) != "" {
		return strings.TrimSpace(name)
	}
	return c.WNID
}

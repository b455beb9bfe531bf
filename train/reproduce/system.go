// Package reproduce makes the rows of the results tables of Krizhevsky, Sutskever and
// Hinton (2012), section 6, from records: it trains the nets of a row, each as an
// ordinary run in a folder of its own, averages them over ten views, and puts the errors
// beside the paper's. All nets weigh the same in an average, as the paper has it; the
// program of 2012 could also fit their weights to the validation split (avg-valid.py). The
// package does the same for what the paper compares its net with (sections 3 and 4): one
// change at a time, everything else equal.
//
// All state lies in the folders of the runs. What is asked for again goes on where it
// stopped, and runs that are done are not trained again.
package reproduce

import (
	"fmt"
	"strings"
)

// System is a row of the paper's table of ILSVRC-2012.
type System struct {
	// Name is what Find takes, and Title the paper's.
	Name, Title string
	// CNNs is the number of nets with five convolutions that are averaged, and Stars
	// that of nets with six that were pre-trained on more classes.
	CNNs, Stars int
	// Paper has the errors that the paper reports.
	Paper Paper
}

// Paper are errors of the paper, as shares in [0, 1]; 0 is one that it does not give.
type Paper struct {
	DataSet  string  `json:"data_set"`
	Top1     float64 `json:"top1_error,omitempty"`
	Top5     float64 `json:"top5_error,omitempty"`
	TestTop5 float64 `json:"test_top5_error,omitempty"`
}

// Of the paper's data sets.
const (
	ilsvrc2010 = "ILSVRC-2010"
	ilsvrc2012 = "ILSVRC-2012"
)

// Systems returns the rows that can be made, in the paper's order.
func Systems() []System {
	return []System{
		{"1cnn", "1 CNN", 1, 0, Paper{ilsvrc2012, 0.407, 0.182, 0}},
		{"5cnns", "5 CNNs", 5, 0, Paper{ilsvrc2012, 0.381, 0.164, 0.164}},
		{"1cnn-star", "1 CNN*", 0, 1, Paper{ilsvrc2012, 0.390, 0.166, 0}},
		{"7cnns-star", "7 CNNs*", 5, 2, Paper{ilsvrc2012, 0.367, 0.154, 0.153}},
	}
}

// Find returns the system of a name; the paper's star may stand for "-star".
func Find(name string) (System, error) {
	var names []string
	for _, s := range Systems() {
		if strings.Replace(name, "*", "-star", 1) == s.Name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return System{}, fmt.Errorf("unknown system %q: there are %s", name, strings.Join(names, ", "))
}

// Other is a row of the paper's tables that is no net of ours.
type Other struct {
	Title string
	Paper Paper
}

// Others returns the rows that the paper compares with: those of its Table 1 (the test
// split of ILSVRC-2010, with the one net that was measured there) and of Table 2.
func Others() (table1, table2 []Other) {
	return []Other{
			{"Sparse coding", Paper{ilsvrc2010, 0.471, 0.282, 0}},
			{"SIFT + FVs", Paper{ilsvrc2010, 0.457, 0.257, 0}},
			{"CNN", Paper{ilsvrc2010, 0.375, 0.170, 0}},
		}, []Other{
			{"SIFT + FVs", Paper{ilsvrc2012, 0, 0, 0.262}},
		}
}

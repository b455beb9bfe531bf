package reproduce

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"alexnet/records"
	"alexnet/train/checkpoint"
	"alexnet/train/eval"
	"alexnet/train/loop"
	"alexnet/train/report"
)

// Row is a row of the results table: the paper's, and what came out here.
type Row struct {
	System string `json:"system"`
	Title  string `json:"title"`
	Paper  Paper  `json:"paper"`
	Here   Here   `json:"here"`
}

// Here is what came out here, and of what.
type Here struct {
	Data
	eval.Result
	Errors
	// Nets are those that were averaged, in their order, of the NetsOfPaper.
	NetsOfPaper int   `json:"nets_of_paper"`
	Averaged    []Net `json:"averaged"`
}

// Data is what a net was trained on.
type Data struct {
	DataSet     string `json:"data_set"` // the name of the records' folder
	Digest      string `json:"digest"`
	Classes     int    `json:"classes"`
	TrainImages int    `json:"training_images"`
}

// DataOf describes records.
func DataOf(ds *records.Dataset) Data {
	dir := ds.Dir
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return Data{filepath.Base(dir), ds.Manifest.Digest, len(ds.Manifest.Classes), ds.Manifest.Splits[loop.TrainSplit].Written}
}

// Errors are those of a result, with their intervals (eval.Confidence): shares in
// [0, 1].
type Errors struct {
	Top1Error    float64    `json:"top1_error"`
	Top1Interval [2]float64 `json:"top1_error_interval"`
	Top5Error    float64    `json:"top5_error"`
	Top5Interval [2]float64 `json:"top5_error_interval"`
}

// ErrorsOf returns the errors of a result, which must have images.
func ErrorsOf(r eval.Result) Errors {
	one, five := r.Top1Interval(), r.Top5Interval()
	return Errors{r.Top1Error(), [2]float64{one.Low, one.High}, r.Top5Error(), [2]float64{five.Low, five.High}}
}

// Net is one of the nets of a row.
type Net struct {
	Run        string `json:"run"` // the name of its folder
	Net        string `json:"net"`
	Seed       uint64 `json:"seed"`
	Epochs     int    `json:"epochs"`
	Checkpoint string `json:"checkpoint"`
	// Pretrained is what the net was trained on before, if it was, and PretrainedEpochs
	// for how long: 0 if its folder is gone.
	Pretrained       *Data `json:"pretrained,omitempty"`
	PretrainedEpochs int   `json:"pretrained_epochs,omitempty"`
	// Top1 and Top5 count the images that it has right by itself.
	Top1 int `json:"top1_correct"`
	Top5 int `json:"top5_correct"`
}

// row puts together what was measured of a system's nets, and writes it to its file in
// out.
func (s System) row(out string, jobs []Job, r *eval.Report, files []string) (Row, error) {
	row := Row{System: s.Name, Title: s.Title, Paper: s.Paper,
		Here: Here{Result: r.Result, Errors: ErrorsOf(r.Result), NetsOfPaper: s.CNNs + s.Stars}}
	var before *Job
	for i := range jobs {
		j := &jobs[i]
		if j.Kind == Pretrained {
			before = j
			continue
		}
		summary, err := readSummary(j.Run)
		if err != nil {
			return row, err
		}
		k := len(row.Here.Averaged)
		n := Net{Run: j.Name(), Net: j.Net.Name, Seed: j.Settings.Seed, Epochs: summary.Epochs, Checkpoint: filepath.Join(j.Name(), checkpoint.Folder, filepath.Base(files[k])),
			Top1: r.Singles[k].Top1, Top5: r.Singles[k].Top5}
		if before != nil {
			d := DataOf(before.Records)
			n.Pretrained = &d
			if summary, err := readSummary(before.Run); err == nil {
				n.PretrainedEpochs = summary.Epochs
			}
			before = nil
		}
		row.Here.Averaged = append(row.Here.Averaged, n)
		row.Here.Data = DataOf(j.Records)
	}
	return row, report.WriteJSON(rowFile(out, s.Name, r.Split), row)
}

const (
	rowPrefix = "row-"
	rowSuffix = ".json"
)

// rowFile returns the file of a row.
func rowFile(out, system, split string) string {
	return filepath.Join(out, rowPrefix+system+"-"+split+rowSuffix)
}

// Rows returns all rows in a folder and below it, those of a system together, in the
// paper's order, and within it by their folders.
func Rows(dir string) ([]Row, error) {
	var rows []Row
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == checkpoint.Folder:
			return filepath.SkipDir
		case d.IsDir() || !strings.HasPrefix(d.Name(), rowPrefix) || !strings.HasSuffix(d.Name(), rowSuffix):
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var row Row
		if err := json.Unmarshal(data, &row); err != nil {
			return fmt.Errorf("%s is damaged: %w; make the row again", path, err)
		}
		if _, err := Find(row.System); err != nil {
			return fmt.Errorf("%s is no row: %w", path, err)
		}
		if len(row.Here.Averaged) == 0 || row.Here.Images == 0 {
			return fmt.Errorf("%s is damaged: it is of no nets or no images; make the row again", path)
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return place(a.System) - place(b.System) })
	return rows, nil
}

// place returns where a system stands in the paper's table.
func place(system string) int {
	return slices.IndexFunc(Systems(), func(s System) bool { return s.Name == system })
}

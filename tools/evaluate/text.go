package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// print writes the answer as text.
func (f *flags) print(w io.Writer, a answer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "split %s: %d images, views: %d, nets: %d", a.Split, a.Images+a.Unlabelled, a.Views, a.Nets)
	if a.Shares == nil {
		fmt.Fprintf(&b, ", no labels and so no errors\n")
	} else {
		if a.Unlabelled > 0 {
			fmt.Fprintf(&b, ", %d of them without a label", a.Unlabelled)
		}
		fmt.Fprintf(&b, ", mean loss %.4f\n", a.Loss)
		for _, top := range []struct {
			n               int
			error, accuracy float64
			interval        [2]float64
			correct         int
		}{
			{1, a.Shares.Top1Error, a.Shares.Top1Accuracy, a.Shares.Top1Interval, a.Top1},
			{5, a.Shares.Top5Error, a.Shares.Top5Accuracy, a.Shares.Top5Interval, a.Top5},
		} {
			fmt.Fprintf(&b, "top-%d error %s, accuracy %6.2f %% (%d of %d)\n", top.n, share(top.error, top.interval), 100*top.accuracy, top.correct, a.Images)
		}
		fmt.Fprintf(&b, "in brackets: intervals (%s)\n", a.Interval)
	}
	if a.Skipped > 0 {
		fmt.Fprintf(&b, "damaged records left out: %d of %d\n", a.Skipped, a.Skipped+a.Images+a.Unlabelled)
	}
	if a.Shares != nil {
		if a.Nets > 1 {
			printSingles(&b, a)
		}
		if f.PerClass {
			printClasses(&b, a)
		}
		if f.Confused > 0 {
			printConfused(&b, a)
		}
		if f.Confusion {
			printConfusion(&b, a)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// share writes a share and its interval in percent.
func share(x float64, interval [2]float64) string {
	return fmt.Sprintf("%6.2f %% (%.2f-%.2f)", 100*x, 100*interval[0], 100*interval[1])
}

// table writes rows whose cells end in tabs, in columns.
func table(b *strings.Builder, rows func(w io.Writer)) {
	b.WriteByte('\n')
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	rows(w)
	_ = w.Flush() // to memory
}

// printSingles writes the row of each net beside that of all.
func printSingles(b *strings.Builder, a answer) {
	table(b, func(w io.Writer) {
		fmt.Fprintf(w, "net\ttop-1 error\ttop-5 error\tmean loss\tcheckpoint\n")
		row := func(net string, s *Shares, loss float64, checkpoint string) {
			fmt.Fprintf(w, "%s\t%s\t%s\t%.4f\t%s\n", net, share(s.Top1Error, s.Top1Interval), share(s.Top5Error, s.Top5Interval), loss, checkpoint)
		}
		for _, s := range a.Singles {
			row(s.Net, s.Shares, s.Loss, s.Checkpoint)
		}
		row("averaged", a.Shares, a.Loss, "")
	})
}

// printClasses writes a row a class that has images.
func printClasses(b *strings.Builder, a answer) {
	none := 0
	table(b, func(w io.Writer) {
		fmt.Fprintf(w, "label\twnid\timages\ttop-1 error\ttop-5 error\tname\n")
		for _, c := range a.Classes {
			if c.Shares == nil {
				none++
				continue
			}
			fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%s\t%s\n", c.Label, c.WNID, c.Images, share(c.Shares.Top1Error, c.Shares.Top1Interval), share(c.Top5Error, c.Top5Interval), c.Name)
		}
	})
	if none > 0 {
		fmt.Fprintf(b, "classes without images: %d\n", none)
	}
}

// printConfused writes a row a pair.
func printConfused(b *strings.Builder, a answer) {
	table(b, func(w io.Writer) {
		fmt.Fprintf(w, "images\tof its class\tclass\ttaken for\n")
		for _, p := range a.Confused {
			fmt.Fprintf(w, "%d\t%.1f %%\t%s %s\t%s %s\n", p.Images, 100*p.Share, p.WNID, p.Name, p.PredictedWNID, p.PredictedName)
		}
	})
	if len(a.Confused) == 0 {
		b.WriteString("none was taken for another\n")
	}
}

// maxMatrix is the number of classes whose matrix can be read on a screen.
const maxMatrix = 40

// printConfusion writes the matrix: a row a class, a column a prediction.
func printConfusion(b *strings.Builder, a answer) {
	used := make([]bool, len(a.Classes))
	counts := map[[2]int]int{}
	for _, cell := range a.Confusion {
		used[cell[0]], used[cell[1]] = true, true
		counts[[2]int{cell[0], cell[1]}] = cell[2]
	}
	var labels []int
	for label, is := range used {
		if is {
			labels = append(labels, label)
		}
	}
	if len(labels) > maxMatrix {
		fmt.Fprintf(b, "\nthe confusion of %d classes is too wide to be shown; --json has it\n", len(labels))
		return
	}
	table(b, func(w io.Writer) {
		fmt.Fprint(w, "class \\ taken for")
		for _, label := range labels {
			fmt.Fprintf(w, "\t%d", label)
		}
		fmt.Fprintln(w)
		for _, from := range labels {
			fmt.Fprintf(w, "%d %s", from, a.Classes[from].Name)
			for _, to := range labels {
				fmt.Fprintf(w, "\t%d", counts[[2]int{from, to}])
			}
			fmt.Fprintln(w)
		}
	})
}

package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"alexnet/tools/cli"
	"alexnet/train/eval"
	"alexnet/train/loop"
	"alexnet/train/reproduce"
)

// table writes lines with tabs in columns.
func table(b *strings.Builder, lines func(w io.Writer)) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	lines(w)
	_ = w.Flush() // to memory
}

// rowText shows a row beside the paper's, and the nets that it is the average of.
func rowText(r reproduce.Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: error, %%\n\n", r.Title)
	h := r.Here
	table(&b, func(w io.Writer) {
		fmt.Fprintf(w, "\ttop-1\ttop-5\ttop-5 of the test split\n")
		fmt.Fprintf(w, "paper: %s, %s\t%s\t%s\t%s\n", r.Paper.DataSet, paperTraining, percent(r.Paper.Top1, 1), percent(r.Paper.Top5, 1), percent(r.Paper.TestTop5, 1))
		fmt.Fprintf(w, "here: %s\t%s\n", hereText(h), cells(h))
	})
	fmt.Fprintf(&b, "\nhere: %s images of split %s, %d views, each net as it was after its best validation; in brackets: %s\n", cli.FormatCount(h.Images), h.Split, h.Views, eval.Confidence)
	if n := len(h.Averaged); n < h.NetsOfPaper {
		fmt.Fprintf(&b, "here %d of the paper's %d nets are averaged\n", n, h.NetsOfPaper)
	}
	if h.Split == testSplit {
		fmt.Fprintf(&b, "top-1 error of the test split, which the paper does not give: %s\n", bracketed(h.Errors.Top1Error, h.Errors.Top1Interval))
	}
	for _, n := range h.Averaged {
		if n.Pretrained != nil {
			epochs := ""
			if n.PretrainedEpochs > 0 { // its folder may be gone
				epochs = fmt.Sprintf(", %d epochs", n.PretrainedEpochs)
			}
			fmt.Fprintf(&b, "%s was pre-trained on %s: %s classes, %s images%s (paper: Fall 2011, 22 thousand classes, 15 million images)\n",
				n.Run, n.Pretrained.DataSet, cli.FormatCount(n.Pretrained.Classes), cli.FormatCount(n.Pretrained.TrainImages), epochs)
		}
	}
	b.WriteByte('\n')
	table(&b, func(w io.Writer) {
		fmt.Fprintf(w, "net\tseed\tepochs\ttop-1\ttop-5\tcheckpoint\n")
		for _, n := range h.Averaged {
			wrong := func(right int) string { return percent(float64(h.Images-right)/float64(h.Images), 2) }
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\n", n.Net, n.Seed, n.Epochs, wrong(n.Top1), wrong(n.Top5), n.Checkpoint)
		}
	})
	return b.String()
}

// paperTraining says what the paper's nets were trained on.
const paperTraining = "1,000 classes, 1.2 million images, about 90 epochs"

// testSplit is that of the paper's last column; the others are of loop.ValSplit.
const testSplit = "test"

// cells writes the errors of a row into the paper's columns: top-1 and top-5 of the
// validation split, and top-5 of the test split. hereText names any other split.
func cells(h reproduce.Here) string {
	five := bracketed(h.Errors.Top5Error, h.Errors.Top5Interval)
	if h.Split == testSplit {
		return "\t\t" + five
	}
	return bracketed(h.Errors.Top1Error, h.Errors.Top1Interval) + "\t" + five + "\t"
}

// hereText says what a row was made of.
func hereText(h reproduce.Here) string {
	if h.Split != loop.ValSplit && h.Split != testSplit {
		h.DataSet = "split " + h.Split + " of " + h.DataSet
	}
	var nets []string
	from, to := h.Averaged[0].Epochs, h.Averaged[0].Epochs
	for _, n := range h.Averaged {
		from, to = min(from, n.Epochs), max(to, n.Epochs)
		if !slices.Contains(nets, n.Net) {
			nets = append(nets, n.Net)
		}
	}
	epochs := strconv.Itoa(from)
	if to > from {
		epochs += "-" + strconv.Itoa(to)
	}
	number := strconv.Itoa(len(h.Averaged))
	if len(h.Averaged) < h.NetsOfPaper {
		number += fmt.Sprintf(" (of %d)", h.NetsOfPaper)
	}
	return fmt.Sprintf("%s, %s classes, %s images, %s epochs, %s x %s", h.DataSet, cli.FormatCount(h.Classes), cli.FormatCount(h.TrainImages), epochs, number, strings.Join(nets, " and "))
}

// tableText shows rows as the paper's tables, with the paper's own beside them.
func tableText(rows []reproduce.Row) string {
	var b strings.Builder
	one, two := reproduce.Others()
	fmt.Fprintf(&b, "Table 1: error on a test split, %%\n\n")
	table(&b, func(w io.Writer) {
		fmt.Fprintf(w, "model\ttop-1\ttop-5\tof\n")
		for _, o := range one {
			fmt.Fprintf(w, "%s\t%s\t%s\tpaper: %s\n", o.Title, percent(o.Paper.Top1, 1), percent(o.Paper.Top5, 1), o.Paper.DataSet)
		}
		for _, r := range rows {
			if h := r.Here; h.Split == testSplit {
				fmt.Fprintf(w, "%s\t%s\t%s\there: %s\n", r.Title, bracketed(h.Errors.Top1Error, h.Errors.Top1Interval), bracketed(h.Errors.Top5Error, h.Errors.Top5Interval), hereText(h))
			}
		}
	})
	fmt.Fprintf(&b, "\nTable 2: error, %%\n\n")
	table(&b, func(w io.Writer) {
		fmt.Fprintf(w, "model\ttop-1\ttop-5\ttop-5 of the test split\tof\n")
		for _, o := range two {
			fmt.Fprintf(w, "%s\t\t\t%s\tpaper: %s\n", o.Title, percent(o.Paper.TestTop5, 1), o.Paper.DataSet)
		}
		for _, s := range reproduce.Systems() {
			p := s.Paper
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\tpaper: %s\n", s.Title, percent(p.Top1, 1), percent(p.Top5, 1), percent(p.TestTop5, 1), p.DataSet)
			for _, r := range rows {
				if r.System == s.Name {
					fmt.Fprintf(w, "\t%s\there: %s\n", cells(r.Here), hereText(r.Here))
				}
			}
		}
	})
	fmt.Fprintf(&b, "\nin brackets: %s\n", eval.Confidence)
	if len(rows) == 0 {
		b.WriteString("there are no rows here yet: reproduce 1cnn makes the first\n")
	}
	return b.String()
}

// comparisonText shows an ablation.
func comparisonText(c reproduce.Comparison) string {
	var b strings.Builder
	fmt.Fprintf(&b, "here: %s, %s classes, %s images; %s, %d epochs of batches of %d, learning rate %g, seeds %v\n",
		c.DataSet, cli.FormatCount(c.Classes), cli.FormatCount(c.TrainImages), c.Net, c.Epochs, c.Batch, c.LR, c.Seeds)
	fmt.Fprintf(&b, "error, %%, on %s images of split %s, %d views, and by how much it is more than the base's\n\n", cli.FormatCount(c.Images), c.Split, c.Views)
	several := len(c.Seeds) > 1
	table(&b, func(w io.Writer) {
		fmt.Fprintf(w, "\ttop-1\tdelta\ttop-5\tdelta\tpaper: top-1, top-5\t\n")
		fmt.Fprintf(w, "%s\t%s\t\t%s\t\t\t\n", reproduce.BaseName, percent(c.Base.Top1Error, 2), percent(c.Base.Top5Error, 2))
		for _, v := range c.Variant {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Name, percent(v.Top1Error, 2), deltaText(v.Top1, several), percent(v.Top5Error, 2), deltaText(v.Top5, several), paperText(v), v.About)
		}
	})
	fmt.Fprintf(&b, "\nbase: top-1 %s, top-5 %s (%s)\n", bracketed(c.Base.Top1Error, c.Base.Top1Interval), bracketed(c.Base.Top5Error, c.Base.Top5Interval), eval.Confidence)
	b.WriteString("in brackets: 95 %, image by image, of these nets; another seed can move a delta by more")
	if several {
		b.WriteString(" (+-: standard deviation over the seeds)")
	}
	b.WriteString("\npaper: its own nets on ILSVRC, with their full training; every net here has the base's rates and epochs\n")
	if len(c.Left) > 0 {
		fmt.Fprintf(&b, "left out, since they change nothing of this net and its recipe: %s\n", strings.Join(c.Left, ", "))
	}
	return b.String()
}

// deltaText writes a difference in percent.
func deltaText(d reproduce.Delta, several bool) string {
	text := fmt.Sprintf("%+.2f (%+.2f to %+.2f)", 100*d.Mean, 100*d.Interval[0], 100*d.Interval[1])
	if several {
		text += fmt.Sprintf(" +-%.2f", 100*d.Deviation)
	}
	return text
}

// paperText writes what the paper says of a variant.
func paperText(c reproduce.Change) string {
	switch {
	case c.PaperNote != "":
		return c.PaperNote
	case c.PaperTop1 != 0:
		return fmt.Sprintf("%+.1f, %+.1f", 100*c.PaperTop1, 100*c.PaperTop5)
	}
	return ""
}

// percent writes a share in percent, nothing for one that there is not.
func percent(share float64, digits int) string {
	if share == 0 && digits == 1 { // a figure of the paper
		return ""
	}
	return strconv.FormatFloat(100*share, 'f', digits, 64)
}

// bracketed writes a share and its interval in percent.
func bracketed(share float64, interval [2]float64) string {
	return fmt.Sprintf("%.2f (%.2f-%.2f)", 100*share, 100*interval[0], 100*interval[1])
}

// Command reproduce makes the rows of the paper's results tables from records: it
// trains the nets of a row, averages them, and prints the row beside the paper's. It
// also compares the net with what the paper compares it with, Figure 1 among that.
package main

import (
	"io"
	"os"

	"alexnet/tools/cli"
)

const description = `Makes the rows of the paper's results tables, each beside the paper's own.

Examples:
  reproduce 1cnn --records out/ --out runs/table
  reproduce 5cnns --records out/ --out runs/table        # trains the four that are missing
  reproduce 1cnn-star --records out/ --pretrain-records fall11/ --out runs/table
  reproduce 7cnns-star --records out/ --pretrain-records fall11/ --out runs/table
  reproduce table runs/
  reproduce ablate --records small/ --net alexnet-small --epochs 4 --out runs/ablation
  reproduce figure1 --records cifar10/ --out runs/figure1   # ReLUs against tanh

The nets are those of the paper with its recipe, in ten views; flags make it smaller.
Killed, or stopped by Ctrl-C? The same command goes on where it was. Each net is an
ordinary run in a folder of --out, which train --resume and evaluate understand, and
what is trained already is not trained again.`

// flags are the command's commands.
type flags struct {
	OneCNN    oneCNN       `cmd:"" name:"1cnn" help:"\"1 CNN\": one net with five convolutions."`
	FiveCNNs  fiveCNNs     `cmd:"" name:"5cnns" help:"\"5 CNNs\": five of them, with five seeds, averaged."`
	OneStar   oneStar      `cmd:"" name:"1cnn-star" aliases:"1cnn*" help:"\"1 CNN*\": one with a sixth convolution, trained on other records with more classes, then fine-tuned."`
	SevenStar sevenStar    `cmd:"" name:"7cnns-star" aliases:"7cnns*" help:"\"7 CNNs*\": two such and the five, averaged."`
	Table     tableCommand `cmd:"" help:"All rows in a folder and below it, beside the paper's tables 1 and 2."`
	Ablate    ablate       `cmd:"" help:"What normalisation, overlapping pooling, two towers, dropout, crops, mirror images, colour and ReLUs are worth."`
	Figure1   figure1      `cmd:"" name:"figure1" help:"Figure 1: epochs to 25 % training error with ReLUs and with tanh, each with its fastest learning rate."`

	stderr io.Writer
}

// What --help shows besides the flags.

// Help returns an example.
func (*oneCNN) Help() string {
	return "Example:\n  reproduce 1cnn --records out/ --out runs/table"
}

// Help returns an example.
func (*fiveCNNs) Help() string {
	return "Example:\n  reproduce 5cnns --records small/ --net alexnet-small --out runs/small-table"
}

// Help returns an example.
func (*oneStar) Help() string {
	return "Example:\n  reproduce 1cnn-star --records out/ --pretrain-records fall11/ --out runs/table"
}

// Help returns an example.
func (*sevenStar) Help() string {
	return "Example:\n  reproduce 7cnns-star --records out/ --pretrain-records fall11/ --out runs/table"
}

// Help returns an example.
func (*tableCommand) Help() string { return "Example:\n  reproduce table runs/" }

// Help returns an example.
func (*ablate) Help() string {
	return "Example:\n  reproduce ablate --records small/ --net alexnet-small --epochs 4 --variant no-lrn,tanh --out runs/ablation"
}

// Help returns an example.
func (*figure1) Help() string {
	return "Example:\n  reproduce figure1 --records cifar10/ --out runs/figure1 --rates 0.001,0.002,0.004"
}

func main() { cli.Main("reproduce", description, &flags{stderr: os.Stderr}) }

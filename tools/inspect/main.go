// Command inspect looks into records and networks: what a data set holds, whether
// its files are sound, what the network will see, how a network is built and what it
// has learned.
package main

import "alexnet/tools/cli"

const description = `Looks into records and networks.

Examples:
  inspect records out/
  inspect verify out/
  inspect sheet out/ --crop 224 --png sheet.png
  inspect net alexnet
  inspect net --preset list
  inspect kernels runs/alexnet --out kernels.png
  inspect neighbours out/ --checkpoint runs/alexnet --png neighbours.png`

// flags are inspect's commands.
type flags struct {
	Records recordsCommand `cmd:"" help:"What a data set holds: splits, shards, classes, mean, principal components."`
	Rows    rowsCommand    `cmd:"" help:"The rows of a split: key, label, ILSVRC id, shard, row, XXH3-64 of the file it was made from."`
	Verify  verifyCommand  `cmd:"" help:"Check the digests of all files and the checksums of all rows."`
	Sheet   sheetCommand   `cmd:"" help:"A PNG of pictures and their augmented crops, as the network sees them."`
	Net     netCommand     `cmd:"" help:"A network's layers: output, groups, parameters, multiply-adds (MACs)."`
	Kernels kernelsCommand `cmd:"" help:"A PNG of the kernels of a trained net's first convolution."`

	Neighbours neighboursCommand `cmd:"" help:"Pictures and the training pictures that are nearest by a net's features, as JSON and PNG."`
}

func main() {
	cli.Main("inspect", description, &flags{})
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"alexnet/model"
	"alexnet/tools/cli"
)

// netCommand shows the layer table of a net.
type netCommand struct {
	Name    string `arg:"" optional:"" help:"A net (default: alexnet)."`
	Preset  string `placeholder:"NAME" help:"A preset, with its recipe; list names them all."`
	Classes int    `default:"1000" help:"Outputs of the last layer."`
	JSON    bool   `name:"json" help:"One JSON object a layer; with --preset one for the preset first, with --preset list one a preset."`
}

// Help returns what --help shows besides the flags.
func (*netCommand) Help() string {
	return "Examples:\n  inspect net alexnet-small --classes 10\n  inspect net --preset paper\n  inspect net --preset list"
}

// Run prints the table.
func (c *netCommand) Run(_ context.Context, out io.Writer) error {
	switch {
	case c.Name != "" && c.Preset != "":
		return cli.Usagef("net %s and --preset %s: give one of them", c.Name, c.Preset)
	case c.Preset == "list":
		return c.list(out)
	case c.Preset != "":
		for _, p := range model.DescribePresets() {
			if p.Name == c.Preset {
				return c.preset(out, p)
			}
		}
		return fmt.Errorf("unknown preset %q: `inspect net --preset list` names them", c.Preset)
	case c.Name == "":
		c.Name = "alexnet"
	}
	net, err := model.Preset(c.Name, c.Classes)
	if err != nil {
		return err
	}
	return c.table(out, net)
}

// list prints a line for each preset.
func (c *netCommand) list(out io.Writer) error {
	enc := json.NewEncoder(out)
	for _, p := range model.DescribePresets() {
		net, err := model.Preset(p.Name, c.Classes)
		if err != nil {
			return err
		}
		if !c.JSON {
			fmt.Fprintf(out, "%-19s  %-19s %12s parameters  %s\n", p.Name, p.Net, cli.FormatCount(net.ParamCount()), p.About)
			continue
		}
		err = enc.Encode(struct {
			model.PresetInfo
			Parameters int64 `json:"parameters"`
		}{p, net.ParamCount()})
		if err != nil {
			return err
		}
	}
	return nil
}

// preset prints what a preset is, and the table of its net.
func (c *netCommand) preset(out io.Writer, p model.PresetInfo) error {
	net, err := model.Preset(p.Name, c.Classes)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(out).Encode(p); err != nil {
			return err
		}
		return c.table(out, net)
	}
	r := p.Recipe
	fmt.Fprintf(out, "%s: %s\n", p.Name, p.About)
	for _, m := range p.Missing {
		fmt.Fprintf(out, "  not as there: %s\n", m)
	}
	fmt.Fprintf(out, "recipe: batch %d, %d epochs, learning rate %g, momentum %g, weight decay %g\n",
		r.Batch, r.Epochs, r.LearningRate, r.Momentum, r.WeightDecay)
	when := "when the validation error no longer improves"
	if r.Schedule == "step" {
		when = fmt.Sprintf("at epochs %v", r.DropAt)
	}
	offsets := "without the last offset"
	if r.InclusiveCrops {
		offsets = "with the last offset"
	}
	mirrored := ""
	if r.NoFlip {
		mirrored = ", not mirrored"
	}
	color := r.Color
	if r.ColorEpochs > 0 {
		color = fmt.Sprintf("%s for %d epochs", r.Color, r.ColorEpochs)
	}
	if r.ColorDivisor != 0 {
		color += fmt.Sprintf(", images then divided by %g", r.ColorDivisor)
	}
	if r.CropGroup > 1 {
		offsets += fmt.Sprintf(", shared by %d images", r.CropGroup)
	}
	fmt.Fprintf(out, "        rate times %g %s; colour %s; crops %s%s\n", r.Factor, when, color, offsets, mirrored)
	return c.table(out, net)
}

// table prints the layers of a net.
func (c *netCommand) table(out io.Writer, net *model.Net) error {
	rows := net.Table()
	if c.JSON {
		enc := json.NewEncoder(out)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	width := 8
	for _, r := range rows {
		width = max(width, len(r.Kind))
	}
	line := func(layer, kind, detail, output, groups, params, macs string) {
		fmt.Fprintf(out, "%-8s %-*s %-34s %-12s %6s %12s %12s\n", layer, width, kind, detail, output, groups, params, macs)
	}
	fmt.Fprintf(out, "%s: input %s\n\n", net.Name, shape(net.Input))
	line("layer", "kind", "", "output", "groups", "parameters", "MACs")
	for _, r := range rows {
		groups := ""
		if r.Groups > 0 {
			groups = cli.FormatCount(r.Groups)
		}
		line(r.Layer, string(r.Kind), r.Detail, shape(r.Output), groups, orBlank(r.Params), orBlank(r.MACs))
	}
	line("total", "", "", "", "", cli.FormatCount(net.ParamCount()), cli.FormatCount(net.MACs()))
	return nil
}

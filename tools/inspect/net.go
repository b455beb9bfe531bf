package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"alexnet/model"
)

// netCommand shows the layer table of a net.
type netCommand struct {
	Name    string `arg:"" default:"alexnet" help:"${default} or another preset (alexnet-small)."`
	Classes int    `default:"1000" help:"Outputs of the last layer."`
	JSON    bool   `name:"json" help:"One JSON object a layer."`
}

// Run prints the table.
func (c *netCommand) Run(_ context.Context, out io.Writer) error {
	net, err := model.Preset(c.Name, c.Classes)
	if err != nil {
		return err
	}
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
	fmt.Fprintf(out, "%s: input %s\n\n", net.Name, shape(net.Input))
	fmt.Fprintf(out, "%-8s %-8s %-34s %-12s %6s %12s %12s\n", "layer", "kind", "", "output", "groups", "parameters", "MACs")
	for _, r := range rows {
		groups := ""
		if r.Groups > 0 {
			groups = count(int64(r.Groups))
		}
		fmt.Fprintf(out, "%-8s %-8s %-34s %-12s %6s %12s %12s\n", r.Layer, r.Kind, r.Detail, shape(r.Output), groups, orBlank(r.Params), orBlank(r.MACs))
	}
	fmt.Fprintf(out, "%-8s %-8s %-34s %-12s %6s %12s %12s\n", "total", "", "", "", "", count(net.ParamCount()), count(net.MACs()))
	return nil
}

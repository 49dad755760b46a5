// Checks what is made for Prometheus, with Prometheus' own code. From standard input it reads
//
//	promcheck rules: a file of rules, as `promtool check rules` does
//	promcheck selectors: a JSON list of expressions; prints for each a list of the series it selects
//	promcheck objects: PodMonitors and PrometheusRules, which may have no field that their types lack
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

var promql = parser.NewParser(parser.Options{})

// Series is what one selector asks for: a metric, and every label that it is told apart or summed up by.
type Series struct {
	Metric string   `json:"metric"`
	Labels []string `json:"labels"`
}

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err == nil {
		switch os.Args[1] {
		case "rules":
			_, errs := rulefmt.Parse(input, false, model.UTF8Validation, promql, slog.Default())
			err = errors.Join(errs...)
		case "selectors":
			err = printSelectors(input)
		case "objects":
			err = checkObjects(input)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func printSelectors(input []byte) error {
	var expressions []string
	if err := json.Unmarshal(input, &expressions); err != nil {
		return err
	}
	all := [][]Series{}
	for _, expression := range expressions {
		tree, err := promql.ParseExpr(expression)
		if err != nil {
			return fmt.Errorf("%s: %w", expression, err)
		}
		all = append(all, selectors(tree))
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

func selectors(tree parser.Expr) []Series {
	found := []Series{}
	parser.Inspect(tree, func(node parser.Node, above []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			series := Series{Metric: selector.Name, Labels: []string{}}
			for _, matcher := range selector.LabelMatchers {
				if matcher.Name != labels.MetricName {
					series.Labels = append(series.Labels, matcher.Name)
				}
			}
			for _, each := range above {
				series.Labels = append(series.Labels, needed(each)...)
			}
			found = append(found, series)
		}
		return nil
	})
	return found
}

// needed are the labels by which an expression groups or joins what is below it.
func needed(node parser.Node) []string {
	switch node := node.(type) {
	case *parser.AggregateExpr:
		return node.Grouping
	case *parser.BinaryExpr:
		if node.VectorMatching != nil {
			return node.VectorMatching.MatchingLabels
		}
	}
	return nil
}

func checkObjects(input []byte) error {
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split(string(input), -1) {
		var about struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(document), &about); err != nil {
			return err
		}
		object := map[string]any{"PodMonitor": &monitoring.PodMonitor{}, "PrometheusRule": &monitoring.PrometheusRule{}}[about.Kind]
		if object == nil {
			return fmt.Errorf("%q is neither a PodMonitor nor a PrometheusRule", about.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			return err
		}
	}
	return nil
}

// Prints the configuration that Prometheus' operator makes of PodMonitors for a Prometheus of a version:
//
//	podmonitors 2.42.0 < list.json
//
// The list is what `kubectl get podmonitors --output=json` prints.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus-operator/prometheus-operator/pkg/assets"
	"github.com/prometheus-operator/prometheus-operator/pkg/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: podmonitors VERSION < list.json")
	}
	var list monitoring.PodMonitorList
	if err := json.NewDecoder(os.Stdin).Decode(&list); err != nil {
		return err
	}
	if len(list.Items) == 0 {
		return errors.New("no PodMonitors are given")
	}
	found := map[string]*monitoring.PodMonitor{}
	for index := range list.Items {
		each := &list.Items[index]
		found[each.Namespace+"/"+each.Name] = each
	}
	server := &monitoring.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "prometheus"}}
	server.Spec.Version = "v" + os.Args[1]
	generator, err := prometheus.NewConfigGenerator(slog.New(slog.DiscardHandler), server)
	if err != nil {
		return err
	}
	store := assets.NewStoreBuilder(nil, nil) // of secrets that PodMonitors name: ours name none
	text, err := generator.GenerateServerConfiguration(server, nil, found, nil, nil, store, nil, nil, nil, nil)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}

// The program of the cluster's own image: what holds every pod's network namespace, and a web server and its client
// to try the cluster with.
//
//	pod                 wait for the end
//	pod serve ADDRESS   answer every request with the host name
//	pod get URL         print what URL answers, or holds (file:///…); fail where that is no success
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		go serve(os.Args[2])
	case len(os.Args) == 3 && os.Args[1] == "get":
		get(os.Args[2])
		return
	}
	<-ended
}

func serve(address string) {
	name, _ := os.Hostname()
	log.Printf("serving on %s", address)
	log.Fatal(http.ListenAndServe(address, http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(answer, name)
	})))
}

func get(url string) {
	http.DefaultTransport.(*http.Transport).RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	io.Copy(os.Stdout, answer.Body)
	if answer.StatusCode >= 300 {
		log.Fatal(answer.Status)
	}
}

// The flame graph page: HTML, CSS and script in one answer.
#include <fmt/format.h>

#include <algorithm>

#include "server/api/fields.h"
#include "server/debug_routes.h"

namespace autoglm {
namespace {

// Boxes are laid out by the browser: a column a function, its name on top of what it calls.
constexpr std::string_view kPage = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>autoglm: flame graph</title>
<meta name="viewport" content="width=device-width">
<style>
:root{color-scheme:light dark}
body{font:14px system-ui,sans-serif;margin:1rem}
h1{font-size:1.1rem;margin:0 0 .5rem}
#bar{display:flex;gap:.5rem;align-items:center;margin:.5rem 0;flex-wrap:wrap}
#graph button{display:block;box-sizing:border-box;position:absolute;height:18px;border:0;border-right:1px solid Canvas;
font:11px ui-monospace,monospace;overflow:hidden;white-space:nowrap;text-align:left;padding:0 3px;cursor:pointer;color:#111}
#graph button:focus-visible{outline:2px solid CanvasText;z-index:1}
#graph button.found{background:#d33bd3!important}
#graph{position:relative}
#said{min-height:1.3em;font-family:ui-monospace,monospace;overflow-wrap:anywhere}
</style></head><body>
<h1>autoglm: CPU flame graph</h1><div id="about"></div>
<div id="bar"><button id="up">all</button><label>find <input id="find" type="search"></label><span id="share"></span></div>
<div id="said"></div><div id="graph"></div>
<script id="data" type="application/json">)html";

constexpr std::string_view kScript = R"html(</script><script>
"use strict";
const data=JSON.parse(document.getElementById("data").textContent),tree=data.tree,total=Math.max(1,tree.n);
const $=id=>document.getElementById(id),graph=$("graph");let root=tree,needle="";
$("about").textContent=`${data.samples} samples of ${data.period_ms} ms in ${data.seconds.toFixed(1)} s`+
(data.lost?`, ${data.lost} more were lost`:"")+(data.samples?"":": nothing used the processor");
function hue(name){let h=0;for(const c of name)h=(h*31+c.codePointAt(0))>>>0;return h%50+5}
function link(node,parent){node.up=parent;for(const c of node.c||[])link(c,node)}
link(tree,null);
function percent(n){return (100*n/total).toFixed(2)+" %"}
function found(node){return needle&&node.f.toLowerCase().includes(needle)}
function box(node,left,width,depth){
const b=document.createElement("button");b.style.cssText=`left:${left}%;width:${width}%;top:${depth*19}px;`+
`background:hsl(${hue(node.f)} 90% 68%)`;b.textContent=node.f;b.title=`${node.f}\n${node.n} samples, ${percent(node.n)}`;
if(found(node))b.className="found";
b.onclick=()=>{root=node;draw()};b.onmouseenter=b.onfocus=()=>{$("said").textContent=b.title.replace("\n",": ")};
graph.append(b)}
function draw(){graph.replaceChildren();let deepest=0;const above=[];
for(let n=root.up;n;n=n.up)above.unshift(n);above.forEach((n,i)=>box(n,0,100,i));
(function walk(node,left,depth){const width=100*node.n/Math.max(1,root.n);if(width<.08)return;deepest=Math.max(deepest,depth);
box(node,left,width,depth);let at=left;for(const c of node.c||[]){walk(c,at,depth+1);at+=100*c.n/Math.max(1,root.n)}})
(root,0,above.length);
graph.style.height=(deepest+1)*19+"px"}
function matched(node){return found(node)?node.n:(node.c||[]).reduce((sum,c)=>sum+matched(c),0)}
$("find").oninput=e=>{needle=e.target.value.toLowerCase();$("share").textContent=needle?percent(matched(tree)):"";draw()};
$("up").onclick=()=>{root=tree;draw()};draw();
</script></body></html>
)html";

Json to_json(const CallTree& tree, int64_t least) {
  Json node = Json::object();
  node["f"] = tree.name;
  node["n"] = tree.count;
  Json children = Json::array();
  for (const CallTree& child : tree.children) {
    if (child.count >= least) children.push_back(to_json(child, least));
  }
  if (!children.empty()) node["c"] = std::move(children);
  return node;
}

}  // namespace

std::string flame_graph_page(const CallTree& tree, const CpuProfile& profile) {
  Json data = Json::object();
  data["samples"] = profile.samples();
  data["seconds"] = profile.seconds;
  data["period_ms"] = static_cast<double>(profile.period_ns) / 1e6;
  data["lost"] = profile.lost;
  data["tree"] = to_json(tree, tree.count / 5000);  // less cannot be seen
  std::string text = to_text(data);
  // In a script element only "</" would end it.
  for (size_t at = 0; (at = text.find("</", at)) != std::string::npos; at += 3) text.replace(at, 2, "<\\/");
  return std::string(kPage) + text + std::string(kScript);
}

}  // namespace autoglm

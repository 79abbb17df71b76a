"""Words for random names: weather, stone and craft."""

from __future__ import annotations

_ADJECTIVES = """
    amber ancient azure balmy bold brave breezy bright brisk bronze calm candid chilly clear
    clever cloudy cobalt copper coral cosy crisp curious dapper daring dusty eager early earnest
    fabled fair fearless fleet fond frosty gentle gilded glad golden graceful grand hardy hazy
    honest humble icy ivory jolly joyful keen kind late lively loyal lucid lucky lunar mellow
    merry mighty misty modest mossy nimble noble olive pale patient placid plucky polite proud
    quick quiet rainy rapid rosy ruddy rustic rusty sandy serene sharp shiny silent silver sleek
    smooth snowy sober solar solid spry stark steady steep stormy stout sturdy sunny swift tall
    tidy tranquil trusty upbeat valiant vast velvet vivid warm wavy windy wise witty woven young
    zesty
"""
ADJECTIVES = tuple(_ADJECTIVES.split())

_NOUNS = """
    acorn alder anchor anvil arch aspen badger basalt beacon beam bellows birch bison bolt
    boulder bramble brick bridge brook buoy canyon cedar chisel cliff clover comet compass cove
    crane creek cypress dale delta dune eagle elm ember falcon fern fjord flint forge fox
    furnace garnet gear girder glacier glade granite grove gull hammer harbor hawk hazel heron
    hill hinge inlet island ivy jasper jetty juniper kelp kiln lagoon lantern larch lark ledge
    lever lichen lynx maple marble marsh meadow mesa mill moor moss oak orchard otter owl pebble
    pier pine plateau pulley quarry quartz quay raven reef ridge rivet robin rook rowan rudder
    sail sequoia shale shore slate spark spruce stream summit thicket thistle timber topaz
    torrent trellis trout tundra valley vise walnut weir wharf willow wren yarrow
"""
NOUNS = tuple(_NOUNS.split())
